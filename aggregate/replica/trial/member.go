package trial

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/aggregate/replica"
	"drystone/gossip"
	"drystone/internal/faultnet"
	"drystone/protocol"
	"drystone/verify"
)

// member is the process of one aggregator.
type member struct {
	setup
	w      *aggtest.World
	key    protocol.Key
	host   *gossip.Host
	faults *faultnet.Faults
	clock  jumpyClock
	tlog   *verify.Log
	disk   *failingDisk
	kept   *replica.Promises

	replica atomic.Pointer[replica.Replica] // nil until it is open
	die     atomic.Pointer[death]
	broken  chan error // the transparency log could not be written; capacity 1

	out sync.Mutex // serialises events
	enc *json.Encoder

	phase string // last reported; of OnApply
	round uint32
	acked sync.Map // records that were reported, by digest
}

// Main is the body of a member's process: it reads its setup and then commands from in, and writes events to out. It
// returns when in ends, or when the member cannot go on. Errors of the disk are errors; Raft's panics would not be.
func Main(in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	m := &member{enc: json.NewEncoder(out), broken: make(chan error, 1), clock: jumpyClock{start: time.Now()}, disk: newFailingDisk()}
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &m.setup)
	}
	if err != nil {
		return fmt.Errorf("setup: %w", err)
	}
	m.die.Store(&death{})
	m.w = newWorld(m.plan)
	m.key = m.w.Aggs[m.Member]
	m.faults = faultnet.New(uint64(m.Member))
	if m.tlog, err = verify.OpenLog(filepath.Join(m.Dir, "log")); err != nil {
		return err
	}
	defer m.tlog.Close()
	if m.kept, err = replica.OpenPromises(filepath.Join(m.Dir, "promises"), 0); err != nil {
		return err
	}
	defer m.kept.Close()
	if m.host, err = gossip.New(gossip.Config{Key: m.key, Run: m.w.Run, Listen: []string{"/ip4/127.0.0.1/tcp/0"}}); err != nil {
		return err
	}
	defer m.host.Close()
	m.say(Event{Kind: kindUp, Addr: m.host.Addrs()[0]})
	return m.run(ctx, lines)
}

// run takes part until the commands end or the member fails.
func (m *member) run(ctx context.Context, lines *bufio.Reader) error {
	r, err := replica.Open(replica.Config{
		Dir: filepath.Join(m.Dir, "raft"), Self: m.key.ID(), Members: m.w.Members(), Machine: m.w.Config(),
		Streams: m.faults.Streams(m.host), OnApply: m.applied, Clock: &m.clock, Disk: m.disk,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return err
	}
	defer r.Close()
	m.replica.Store(r)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	commands := make(chan error, 1)
	go func() { commands <- m.obey(ctx, lines) }()
	go m.work(ctx, r)
	select {
	case err := <-commands:
		return err
	case err := <-m.broken:
		return err
	case <-r.Done():
		m.say(Event{Kind: kindStopped, Error: r.Err().Error()})
		return r.Err()
	}
}

func (m *member) say(e Event) {
	m.out.Lock()
	defer m.out.Unlock()
	m.enc.Encode(e) // a driver that is gone ends the commands as well
}

// applied keeps leaves, reports phases, and dies where it is to.
func (m *member) applied(a replica.Applied) {
	for i, leaf := range a.Effects.Leaves {
		if err := m.tlog.Append(a.Effects.FirstLeaf+uint64(i), leaf); err != nil {
			m.fail(err)
			return
		}
	}
	for _, s := range a.Effects.Final {
		if s.Statement.Kind == protocol.KindCertificate {
			m.kept.Certified(s.Statement.Round)
		}
	}
	r := m.replica.Load()
	if r == nil {
		return // still reading its log
	}
	var phase string
	var round uint32
	r.Read(func(x *aggregate.Machine) { phase, round = x.Phase().String(), x.View().Round })
	if phase == m.phase && round == m.round {
		return
	}
	m.phase, m.round = phase, round
	if m.die.Load().Phase == phase {
		m.dieNow(r, phase, round)
	}
	m.say(Event{Kind: kindPhase, Phase: phase, Round: round, Leads: m.leads(r)})
}

func (m *member) leads(r *replica.Replica) bool {
	leader, ok := r.Leader()
	return ok && leader == m.key.ID()
}

// dieNow kills this process, unless it was to lead and does not.
func (m *member) dieNow(r *replica.Replica, phase string, round uint32) {
	if m.die.Load().Leads && !m.leads(r) {
		return
	}
	m.say(Event{Kind: kindDying, Phase: phase, Round: round, Nano: time.Now().UnixNano()})
	if me, err := os.FindProcess(os.Getpid()); err == nil {
		me.Kill()
		select {} // until it arrives
	}
}

// work plays the trainers and does this member's duties, until ctx ends.
func (m *member) work(ctx context.Context, r *replica.Replica) {
	var failed atomic.Bool // trainers propose at the same time
	propose := func(record []byte) {
		err := r.Propose(ctx, record)
		if err != nil {
			failed.Store(true)
		}
		if err == nil {
			m.ack(record)
		} else if ctx.Err() == nil && r.Err() == nil && !errors.Is(err, aggregate.ErrRefused) {
			m.say(Event{Kind: kindStopped, Error: err.Error()})
		}
	}
	propose(m.w.Genesis())
	for i := range trainers {
		propose(m.w.Join(i, 1))
	}
	ended := false
	for ctx.Err() == nil {
		changed := r.Changed()
		var duties []aggregate.Duty
		var v aggregate.View
		r.Read(func(x *aggregate.Machine) { duties, v = x.Duties(m.key.ID()), x.View() })
		records := commits(m.w, v)
		if v.Phase == aggregate.PhaseTrain {
			m.inParallel(records, propose)
		}
		did := ""
		for _, d := range duties {
			kind, _, _ := strings.Cut(d.Key(), "/")
			if kind == did && kind == m.die.Load().Duty {
				m.dieNow(r, v.Phase.String(), v.Round)
			}
			record := m.w.Discharge(m.key, d)
			if err := m.promise(d, record); err != nil {
				if !errors.Is(err, aggregate.ErrLate) {
					m.fail(err)
				}
				continue
			}
			propose(record)
			did = kind
		}
		if !ended && v.Phase == aggregate.PhaseFinished && v.Checkpoint != nil && v.Checkpoint.Size == v.LogSize {
			ended = true
			m.end(r, v)
		}
		var again <-chan time.Time
		if failed.Swap(false) { // a new leader may refuse what it has not applied all before of, and nobody else owe anything
			again = time.After(retryDuty)
		}
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
		}
	}
}

// retryDuty is the pause before a duty that failed is tried again, as in a node.
const retryDuty = time.Second

// promise writes down what a record signs, as a node does. No member of a trial is ever asked for a contradiction, so a
// refusal of one is a mistake.
func (m *member) promise(d aggregate.Duty, record []byte) error {
	if d, ok := d.(aggregate.DutyCheckpoint); ok {
		return m.kept.Give(aggregate.NumberedPromise(aggregate.PromiseCheckpoint, d.Size, d.Root))
	}
	_, v, err := aggregate.DecodeRecord(record)
	c, ok := v.(*aggregate.Cosign)
	if err != nil || !ok {
		return err
	}
	x, err := aggregate.StatementPromise(&c.Statement)
	if err != nil {
		return err
	}
	return m.kept.Give(x)
}

// fail ends the process.
func (m *member) fail(err error) {
	select {
	case m.broken <- err:
	default:
	}
}

func (m *member) inParallel(records [][]byte, propose func([]byte)) {
	var all sync.WaitGroup
	for _, record := range records {
		all.Go(func() { propose(record) })
	}
	all.Wait()
}

// ack reports an acknowledged record that has to be a leaf for ever after.
func (m *member) ack(record []byte) {
	kind, _, err := aggregate.DecodeRecord(record)
	if err != nil {
		return
	}
	switch kind {
	case aggregate.RecordJoin, aggregate.RecordCommit, aggregate.RecordDraw, aggregate.RecordVerdict:
		leaf := protocol.LeafHash(record)
		if _, known := m.acked.LoadOrStore(leaf, true); !known {
			m.say(Event{Kind: kindAcked, Leaf: leaf.String()})
		}
	}
}

func (m *member) end(r *replica.Replica, v aggregate.View) {
	e := &End{LogSize: v.LogSize, LogRoot: v.LogRoot}
	var err error
	if e.Outcome, err = outcome(v); err != nil {
		m.say(Event{Kind: kindStopped, Error: err.Error()})
		return
	}
	r.Read(func(x *aggregate.Machine) {
		if b, err := x.Snapshot(); err == nil {
			e.State = protocol.Hash("trial state", b)
		}
	})
	m.say(Event{Kind: kindEnd, End: e})
}

// jumpyClock is a time of day that jumps, and time that passes at once, on command.
type jumpyClock struct {
	start  time.Time
	off    atomic.Int64
	passed atomic.Int64
}

func (c *jumpyClock) Now() time.Time { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *jumpyClock) Elapsed() time.Duration {
	return time.Since(c.start) + time.Duration(c.passed.Load())
}

package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// network is what Streams needs of the world, over in-memory pipes or over TCP on the loopback interface.
type network struct {
	tcp bool

	mu   sync.Mutex
	fns  map[protocol.PeerID]map[string]func(protocol.PeerID, net.Conn)
	wait sync.WaitGroup // handlers
}

func newNetwork(tcp bool) *network {
	return &network{tcp: tcp, fns: map[protocol.PeerID]map[string]func(protocol.PeerID, net.Conn){}}
}

// port is one member's Streams.
type port struct {
	n    *network
	self protocol.PeerID
}

func (p port) HandleStream(name string, fn func(protocol.PeerID, net.Conn)) {
	p.n.mu.Lock()
	defer p.n.mu.Unlock()
	if p.n.fns[p.self] == nil {
		p.n.fns[p.self] = map[string]func(protocol.PeerID, net.Conn){}
	}
	p.n.fns[p.self][name] = fn
}

func (p port) OpenStream(ctx context.Context, to protocol.PeerID, name string) (net.Conn, error) {
	p.n.mu.Lock()
	fn := p.n.fns[to][name]
	p.n.mu.Unlock()
	if fn == nil {
		return nil, errors.New("unreachable")
	}
	near, far, err := p.n.pipe(ctx)
	if err != nil {
		return nil, err
	}
	p.n.wait.Add(1)
	go func() {
		defer p.n.wait.Done()
		fn(p.self, far)
	}()
	return near, nil
}

func (n *network) pipe(ctx context.Context) (near, far net.Conn, err error) {
	if !n.tcp {
		near, far = net.Pipe()
		return near, far, nil
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer l.Close()
	var d net.Dialer
	if near, err = d.DialContext(ctx, "tcp", l.Addr().String()); err != nil {
		return nil, nil, err
	}
	if far, err = l.Accept(); err != nil {
		near.Close()
		return nil, nil, err
	}
	return near, far, nil
}

// clock is a clock that tests move.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	jumped time.Duration // how far the time of day is off
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now.Add(c.jumped)
}

func (c *clock) Elapsed() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.now.UnixNano())
}

// jump sets the time of day, and nothing else.
func (c *clock) jump(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jumped += d
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// reach moves the clock forward to at least this time.
func (c *clock) reach(milli int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := time.UnixMilli(milli); t.After(c.now) {
		c.now = t
	}
}

// group is the aggregators of a world, each with a replica and, while the test runs it, a node that does its duties.
type group struct {
	t     *testing.T
	w     *aggtest.World
	net   *network
	clock *clock
	dir   string
	reps  []*Replica // nil where closed

	keys   []protocol.Key         // of the members: the world's aggregators, and who joined
	change func(i int, c *Config) // nil for none
	limit  time.Duration          // of each wait; 0 for a minute

	mu      sync.Mutex
	applied map[int][]Applied // by member, since its last start
	heard   map[protocol.Digest]bool
	chain   []protocol.PeerID // the newest council by the statement chain, as gossip tells everyone; nil for the Genesis's
	stops   []context.CancelFunc
	nodes   sync.WaitGroup
}

// ctx ends long after any test should.
func (g *group) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), max(g.limit, time.Minute))
	g.t.Cleanup(cancel)
	return ctx
}

func newGroup(t *testing.T, tcp bool, change func(*protocol.RunSpec)) *group {
	return newGroupWith(t, tcp, change, nil)
}

// newGroupWith is newGroup with a change to the members' configurations.
func newGroupWith(t *testing.T, tcp bool, change func(*protocol.RunSpec), members func(i int, c *Config)) *group {
	g := &group{t: t, w: aggtest.New(change), net: newNetwork(tcp), clock: &clock{now: time.Unix(1000, 0)},
		dir: t.TempDir(), applied: map[int][]Applied{}, heard: map[protocol.Digest]bool{}, change: members}
	g.keys = slices.Clone(g.w.Aggs)
	g.reps = make([]*Replica, len(g.keys))
	for i := range g.reps {
		g.open(i)
	}
	t.Cleanup(g.close)
	return g
}

func (g *group) config(i int) Config {
	id := g.keys[i].ID()
	c := Config{
		Dir: filepath.Join(g.dir, fmt.Sprint(i)), Self: id, Members: g.w.Members(), Machine: g.w.Config(), Streams: port{g.net, id},
		Log:   slog.New(slog.NewTextHandler(testWriter{g.t, fmt.Sprint(i)}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Clock: g.clock,
		OnApply: func(a Applied) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.applied[i] = append(g.applied[i], a)
			g.hear(a.Effects.Final)
		},
		Timing:  Timing{Heartbeat: 300 * time.Millisecond, Election: 300 * time.Millisecond, Lease: 200 * time.Millisecond, Commit: 5 * time.Millisecond, Tick: 5 * time.Millisecond},
		Council: g.certified,
	}
	if g.change != nil {
		g.change(i, &c)
	}
	return c
}

// hear takes in statements that became final somewhere. The caller holds mu.
func (g *group) hear(final []protocol.SignedStatement) {
	for i := range final {
		c, err := protocol.DecodeBody[protocol.NewCouncil](&final[i].Statement)
		if d := final[i].Statement.Digest(); err == nil && !g.heard[d] { // others hear of it later
			g.heard[d] = true
			g.chain = nil
			for _, a := range c.Aggregators {
				g.chain = append(g.chain, a.ID)
			}
		}
	}
}

func (g *group) certified() []protocol.PeerID {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.chain
}

// join opens a replica that is no aggregator of the Genesis, and returns its place.
func (g *group) join(k protocol.Key) int {
	g.t.Helper()
	g.keys, g.reps = append(g.keys, k), append(g.reps, nil)
	i := len(g.reps) - 1
	g.open(i)
	return i
}

// testWriter sends log lines to t.Log.
type testWriter struct {
	t    *testing.T
	name string
}

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s: %s", w.name, p)
	return len(p), nil
}

func (g *group) open(i int) {
	g.t.Helper()
	g.mu.Lock()
	g.applied[i] = nil
	g.mu.Unlock()
	r, err := Open(g.config(i))
	if err != nil {
		g.t.Fatal(err)
	}
	g.reps[i] = r
}

func (g *group) shut(i int) {
	g.t.Helper()
	if r := g.reps[i]; r != nil {
		g.reps[i] = nil
		if err := r.Close(); err != nil {
			g.t.Error(err)
		}
	}
}

func (g *group) close() {
	g.stopNodes()
	for i := range g.reps {
		g.shut(i)
	}
	g.net.wait.Wait()
}

// startNodes runs a node beside every open replica.
func (g *group) startNodes() {
	ctx, cancel := context.WithCancel(context.Background())
	g.stops = append(g.stops, cancel)
	for i, r := range g.reps {
		if r != nil {
			g.nodes.Add(1)
			go func() {
				defer g.nodes.Done()
				g.node(ctx, i, r)
			}()
		}
	}
}

func (g *group) stopNodes() {
	for _, stop := range g.stops {
		stop()
	}
	g.stops = nil
	g.nodes.Wait()
}

// node does a member's duties as they come.
func (g *group) node(ctx context.Context, i int, r *Replica) {
	key := g.keys[i]
	for {
		changed := r.Changed()
		var duties []aggregate.Duty
		r.Read(func(m *aggregate.Machine) { duties = m.Duties(key.ID()) })
		for _, d := range duties {
			err := r.Propose(ctx, g.w.Discharge(key, d))
			if err != nil && !errors.Is(err, aggregate.ErrLate) && ctx.Err() == nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrRemoved) {
				g.t.Errorf("aggregator %d: %v", i, err)
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// until waits for a member's view to satisfy ok.
func (g *group) until(i int, what string, ok func(v aggregate.View) bool) aggregate.View {
	g.t.Helper()
	ctx := g.ctx()
	for {
		changed := g.reps[i].Changed()
		var v aggregate.View
		g.reps[i].Read(func(m *aggregate.Machine) { v = m.View() })
		if ok(v) {
			return v
		}
		select {
		case <-changed:
		case <-ctx.Done():
			g.t.Fatalf("member %d never saw %s; phase %s of round %d, log %d", i, what, v.Phase, v.Round, v.LogSize)
		}
	}
}

// idle waits until nobody has a duty left, as every open member sees it.
func (g *group) idle() {
	g.t.Helper()
	for i, r := range g.reps {
		if r == nil {
			continue
		}
		g.until(i, "no duties left", func(aggregate.View) bool {
			left := 0
			r.Read(func(m *aggregate.Machine) {
				for _, k := range g.w.Aggs {
					left += len(m.Duties(k.ID()))
				}
			})
			return left == 0
		})
	}
}

// drive moves the clock from deadline to deadline until member i's view satisfies ok.
func (g *group) drive(i int, what string, ok func(v aggregate.View) bool) {
	g.t.Helper()
	g.until(i, what, func(v aggregate.View) bool {
		g.reps[i].Read(func(m *aggregate.Machine) {
			if d, running := m.Deadline(); running {
				g.clock.reach(max(d.UnixMilli(), m.LoggedMilli()+1))
			}
		})
		return ok(v)
	})
}

func phase(p aggregate.Phase, round uint32) func(aggregate.View) bool {
	return func(v aggregate.View) bool { return v.Phase == p && v.Round == round }
}

// leader waits for a leader that a quorum confirms, and returns its place.
func (g *group) leader() int {
	g.t.Helper()
	for ctx := g.ctx(); ctx.Err() == nil; <-poll() {
		for i, r := range g.reps {
			if r == nil {
				continue
			}
			if id, ok := r.Leader(); ok && id == g.keys[i].ID() && r.raft.VerifyLeader().Error() == nil {
				return i
			}
		}
	}
	g.t.Fatal("no leader")
	return 0
}

func (g *group) propose(i int, record []byte) {
	g.t.Helper()
	if err := g.reps[i].Propose(g.ctx(), record); err != nil {
		g.t.Fatal(err)
	}
}

// begin proposes Genesis and three joins, each at another member.
func (g *group) begin() {
	g.t.Helper()
	g.propose(0, g.w.Genesis())
	for i := range 3 {
		g.propose(i+1, g.w.Join(i, 1))
	}
}

// playRound commits for the peers once member i sees the train phase, and waits for the next round.
func (g *group) playRound(i int, round uint32) {
	g.t.Helper()
	v := g.until(i, "train", phase(aggregate.PhaseTrain, round))
	for p := range 3 {
		g.propose(i, g.w.Commit(v, p, "honest"))
	}
	g.until(i, "the next round", func(v aggregate.View) bool { return v.Round > round })
}

func snapshotOf(t *testing.T, r *Replica) (b []byte) {
	t.Helper()
	r.Read(func(m *aggregate.Machine) {
		var err error
		if b, err = m.Snapshot(); err != nil {
			t.Fatal(err)
		}
	})
	return b
}

var _ io.Writer = testWriter{}

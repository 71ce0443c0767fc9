package trial

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"drystone/aggregate/internal/aggtest"
)

// Options say what a trial is.
type Options struct {
	Dir     string           // where the members keep their data, a directory each
	Command func() *exec.Cmd // starts a process that calls Main with its standard streams
	Rounds  uint32
	Check   uint32             // seconds that a verifier has; 0 for 5. Where nobody is away, but all are slow, more
	Shards  int                // that have 3 owners each among 5 members; 0 for 4 members that all own everything
	Log     func(string)       // what members write to standard error; nil for none
	DirOf   func(i int) string // where member i keeps its data; nil for a directory in Dir
}

func (o *Options) plan() plan { return plan{Rounds: o.Rounds, Check: o.Check, Shards: o.Shards} }

// Council is a running trial. Its methods are for one goroutine.
type Council struct {
	opts    Options
	world   *aggtest.World
	procs   []*process
	events  chan Event
	acked   map[string]bool // records that a Propose returned nil for
	ends    map[int]End
	readers sync.WaitGroup
}

// process is one member.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	addr   string
	exited chan struct{}
	err    error // of Wait; after exited
}

// Start starts the members and brings them together.
func Start(ctx context.Context, o Options) (*Council, error) {
	if o.Check == 0 {
		o.Check = checkIn
	}
	c := &Council{opts: o, world: newWorld(o.plan()), events: make(chan Event, 1024), acked: map[string]bool{}, ends: map[int]End{}}
	c.procs = make([]*process, len(c.world.Aggs))
	for i := range c.procs {
		if err := c.launch(ctx, i); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	c.introduce()
	return c, nil
}

// launch starts member i and waits until it listens.
func (c *Council) launch(ctx context.Context, i int) error {
	cmd := c.opts.Command()
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = lineWriter{c.opts.Log, i}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start member %d: %w", i, err)
	}
	p := &process{cmd: cmd, in: in, exited: make(chan struct{})}
	c.procs[i] = p
	c.readers.Go(func() {
		c.listen(i, out)
		p.err = cmd.Wait()
		close(p.exited)
	})
	if err := c.send(i, setup{plan: c.opts.plan(), Dir: c.dir(i), Member: i}); err != nil {
		return err
	}
	_, err = c.Await(ctx, func(e Event) bool { return e.Member == i && e.Kind == kindUp })
	return err
}

func (c *Council) dir(i int) string {
	if c.opts.DirOf != nil {
		return c.opts.DirOf(i)
	}
	return filepath.Join(c.opts.Dir, strconv.Itoa(i))
}

// listen passes a member's events on until it is gone.
func (c *Council) listen(i int, out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) == nil {
			e.Member = i
			c.events <- e
		}
	}
}

// introduce tells every member where the others are.
func (c *Council) introduce() {
	var addrs []string
	for _, p := range c.procs {
		if p.alive() {
			addrs = append(addrs, p.addr)
		}
	}
	c.sendAll(command{Peers: addrs})
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

func (c *Council) send(i int, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = c.procs[i].in.Write(append(b, '\n'))
	}
	return err
}

// sendAll sends a command to every member. Who is gone, or about to go, does not hear it.
func (c *Council) sendAll(v command) {
	for i := range c.procs {
		c.send(i, v)
	}
}

// Await takes events in until one satisfies ok.
func (c *Council) Await(ctx context.Context, ok func(Event) bool) (Event, error) {
	for {
		if len(c.ends) == len(c.procs) && len(c.events) == 0 {
			return Event{}, errors.New("trial: the run is over before what was awaited")
		}
		select {
		case e := <-c.events:
			c.note(e)
			if ok(e) {
				return e, nil
			}
		case <-ctx.Done():
			return Event{}, fmt.Errorf("trial: awaited in vain: %w", ctx.Err())
		}
	}
}

func (c *Council) note(e Event) {
	switch e.Kind {
	case kindUp:
		c.procs[e.Member].addr = e.Addr
	case kindAcked:
		c.acked[e.Leaf] = true
	case kindEnd:
		c.ends[e.Member] = *e.End
	}
}

// Restart starts a member again that is gone.
func (c *Council) Restart(ctx context.Context, i int) error {
	<-c.procs[i].exited
	delete(c.ends, i)
	if err := c.launch(ctx, i); err != nil {
		return err
	}
	c.introduce()
	return nil
}

// Kill kills a member, as kill -9 does, and waits until it is gone. What it said before is taken in.
func (c *Council) Kill(ctx context.Context, i int) error {
	if err := c.procs[i].cmd.Process.Kill(); err != nil {
		return err
	}
	return c.gone(ctx, i)
}

// gone waits for the end of a process.
func (c *Council) gone(ctx context.Context, i int) error {
	for {
		select {
		case <-c.procs[i].exited:
			return nil
		case e := <-c.events:
			c.note(e)
		case <-ctx.Done():
			return fmt.Errorf("trial: member %d does not end: %w", i, ctx.Err())
		}
	}
}

// Leader waits for the next phase of the run that a leader reports, and returns that leader.
func (c *Council) Leader(ctx context.Context) (int, error) {
	e, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindPhase && e.Leads && c.procs[e.Member].alive() })
	return e.Member, err
}

// KillLeaderIn has the leader kill itself, as by kill -9, at the moment at which it enters a phase, and returns who it was.
func (c *Council) KillLeaderIn(ctx context.Context, phase string) (int, error) {
	e, err := c.kill(ctx, death{Phase: phase, Leads: true})
	return e.Member, err
}

// kill has the first of some members that a death comes to kill itself: of all, if none are named.
func (c *Council) kill(ctx context.Context, d death, members ...int) (Event, error) {
	for i := range c.procs {
		if len(members) == 0 || slices.Contains(members, i) {
			c.send(i, command{Die: &d})
		}
	}
	e, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindDying })
	if err != nil {
		return Event{}, err
	}
	c.sendAll(command{Die: &death{}})
	return e, c.gone(ctx, e.Member)
}

// Network sets distance, loss and partition. groups are members that reach one another; nil for no partition.
func (c *Council) Network(n network, groups ...[]int) {
	for i := range c.procs {
		mine := n
		for _, g := range groups {
			if !slices.Contains(g, i) {
				mine.Cut = append(slices.Clone(mine.Cut), g...)
			}
		}
		c.send(i, command{Net: &mine})
	}
}

// Close ends all members.
func (c *Council) Close() error {
	for _, p := range c.procs {
		if p != nil {
			p.in.Close()
			p.cmd.Process.Kill()
		}
	}
	done := make(chan struct{})
	go func() {
		c.readers.Wait()
		close(done)
	}()
	for {
		select {
		case <-c.events:
		case <-done:
			return nil
		}
	}
}

// lineWriter passes what a member says on standard error on.
type lineWriter struct {
	log    func(string)
	member int
}

func (w lineWriter) Write(b []byte) (int, error) {
	if w.log != nil {
		w.log(fmt.Sprintf("member %d: %s", w.member, bytes.TrimSpace(b)))
	}
	return len(b), nil
}

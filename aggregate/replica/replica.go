package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// Config configures a Replica.
type Config struct {
	Dir     string            // for the log, the snapshots and a lock file; made if absent
	Self    protocol.PeerID   // one of Members
	Members []protocol.PeerID // the aggregators of the Genesis, the same everywhere
	Machine aggregate.Config
	Streams Streams
	Log     *slog.Logger // nil for none
	// OnApply, if not nil, is called for every accepted record in log order, one call at a time, before the next record is
	// applied and before any snapshot covers it. After a restart the records since the last snapshot come again with the
	// same index, possibly before Open returns. It may call Read, not Propose, and must be quick: replication waits for it.
	OnApply func(Applied)
	Timing  Timing           // zero fields take DefaultTiming's
	Now     func() time.Time // the leader's clock; nil for time.Now
}

// Applied is an accepted record's effect. When the state jumped to a snapshot, from the own disk at the start or from
// the leader after a long absence, Restored is set, and there are no effects and no index: a log that this node keeps
// with fewer leaves than LogSize is then to be completed from others.
type Applied struct {
	Index    uint64 // of the record in the Raft log
	Effects  aggregate.Effects
	Restored bool
	LogSize  uint64 // of the transparency log afterwards
	LogRoot  protocol.Digest
}

// Timing holds Raft's timeouts.
type Timing struct {
	Heartbeat time.Duration // without contact to a leader before an election
	Election  time.Duration // without a result before another one; at least Heartbeat
	Lease     time.Duration // a leader without contact to a quorum steps down; at most Heartbeat
	Commit    time.Duration // before an idle leader announces its commit index
	Tick      time.Duration // between the leader's looks at the machine's deadline
}

// DefaultTiming suits aggregators on different continents.
func DefaultTiming() Timing {
	return Timing{Heartbeat: 2 * time.Second, Election: 2 * time.Second, Lease: time.Second, Commit: 50 * time.Millisecond, Tick: 200 * time.Millisecond}
}

// ErrClosed is returned by Propose after Close.
var ErrClosed = errors.New("replica is closed")

// Replica is one member of the Raft group. Its methods are safe for concurrent use.
type Replica struct {
	cfg     Config
	log     *slog.Logger
	fsm     *fsm
	raft    *raft.Raft
	trans   *transport
	layer   *layer
	release []func() error // what Close undoes after Raft has stopped, last first

	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	mu     sync.Mutex // guards closed and the growth of tasks
	closed bool
	tasks  sync.WaitGroup // goroutines of this Replica
	slots  chan struct{}  // bounds proposals in flight
}

// Open opens or creates the member's log, starts Raft and joins the group. It fails if another process holds the
// directory, or if Members does not fit the machine's spec.
func Open(cfg Config) (*Replica, error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	machine, err := aggregate.New(cfg.Machine)
	if err != nil {
		return nil, fmt.Errorf("replica: %w", err)
	}
	r := &Replica{cfg: cfg, log: cfg.Log, slots: make(chan struct{}, maxInFlight)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.fsm = newFSM(machine, cfg.OnApply, cfg.Log)
	if err := r.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("replica in %s: %w", cfg.Dir, err), r.undo())
	}
	r.goTask(r.ticker)
	cfg.Streams.HandleStream(streamPropose, r.serveProposal)
	return r, nil
}

func (c *Config) complete() error {
	if c.Dir == "" || c.Streams == nil {
		return errors.New("Config needs Dir and Streams")
	}
	if !slices.Contains(c.Members, c.Self) {
		return fmt.Errorf("%s is not one of the %d members", c.Self.Short(), len(c.Members))
	}
	if s := c.Machine.Spec; s != nil && len(c.Members) != s.Quorum.Aggregators {
		return fmt.Errorf("%d members, the run spec has %d aggregators", len(c.Members), s.Quorum.Aggregators)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	def := DefaultTiming()
	for _, d := range []struct{ field, def *time.Duration }{
		{&c.Timing.Heartbeat, &def.Heartbeat}, {&c.Timing.Election, &def.Election}, {&c.Timing.Lease, &def.Lease},
		{&c.Timing.Commit, &def.Commit}, {&c.Timing.Tick, &def.Tick},
	} {
		if *d.field <= 0 {
			*d.field = *d.def
		}
	}
	return nil
}

// start opens the stores and runs Raft over them. What it opened is in r.release, also on an error.
func (r *Replica) start() error {
	logger := newLogger(r.log)
	st, err := openStorage(r.cfg.Dir, logger)
	if err != nil {
		return err
	}
	r.release = append(r.release, st.close)
	r.layer = newLayer(r.cfg.Self, r.cfg.Members, r.cfg.Streams)
	r.trans = &transport{NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Logger: logger, Stream: r.layer, MaxPool: 2, Timeout: ioTimeout})}
	r.release = append(r.release, r.trans.Close)

	conf := r.raftConfig()
	conf.Logger = logger
	known, err := raft.HasExistingState(st.log, st.stable, st.snapshots)
	if err != nil {
		return err
	}
	if !known {
		if err := raft.BootstrapCluster(conf, st.log, st.stable, st.snapshots, r.trans, r.membership()); err != nil {
			return fmt.Errorf("write the membership: %w", err)
		}
	}
	r.raft, err = raft.NewRaft(conf, r.fsm, st.log, st.stable, st.snapshots, r.trans)
	return err
}

func (r *Replica) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	t := r.cfg.Timing
	conf.LocalID = raft.ServerID(r.cfg.Self.String())
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout, conf.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	conf.MaxAppendEntries = 16 // of at most aggregate.MaxRecord bytes each
	conf.ShutdownOnRemove = false
	conf.SnapshotThreshold = 4096
	conf.TrailingLogs = 16384 // a member that was away for less gets every record, with its effects
	conf.NoLegacyTelemetry = true
	return conf
}

// membership is the same at every member, so that each can write it for itself before the first contact.
func (r *Replica) membership() raft.Configuration {
	var c raft.Configuration
	for _, id := range r.cfg.Members {
		s := id.String()
		c.Servers = append(c.Servers, raft.Server{ID: raft.ServerID(s), Address: raft.ServerAddress(s)})
	}
	slices.SortFunc(c.Servers, func(a, b raft.Server) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return c
}

// goTask runs fn as a goroutine that Close waits for; it reports false after Close.
func (r *Replica) goTask(fn func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.tasks.Add(1)
	go func() {
		defer r.tasks.Done()
		fn()
	}()
	return true
}

// Read calls fn with the machine, which fn must neither keep nor change. Applying waits meanwhile. The machine may be
// ahead of OnApply by one record.
func (r *Replica) Read(fn func(*aggregate.Machine)) { r.fsm.read(fn) }

// Changed returns a channel that is closed after the next change of the machine has been handed to OnApply. Take it
// before reading, so that no change falls between.
func (r *Replica) Changed() <-chan struct{} { return r.fsm.changedChan() }

// Leader returns the current leader as far as this member knows.
func (r *Replica) Leader() (protocol.PeerID, bool) {
	_, id := r.raft.LeaderWithID()
	p, err := protocol.ParsePeerID(string(id))
	return p, err == nil
}

// Close stops the replica, waits for its goroutines and releases the directory. Proposals in flight end first, at the
// latest when Raft gives them up after Timing.Lease. A second Close does nothing. OnApply must not call it.
func (r *Replica) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	// Before Raft stops: it forgets the futures of records that are committed and not yet applied.
	r.tasks.Wait()
	err := errors.Join(r.raft.Shutdown().Error(), r.undo())
	if err != nil {
		return fmt.Errorf("close replica in %s: %w", r.cfg.Dir, err)
	}
	return nil
}

// undo releases what start opened.
func (r *Replica) undo() (err error) {
	r.cancel()
	for i := len(r.release) - 1; i >= 0; i-- {
		err = errors.Join(err, r.release[i]())
	}
	r.release = nil
	return err
}

package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
)

// ErrClosed is returned by Propose after Close.
var ErrClosed = errors.New("replica is closed")

// Replica is one member of the Raft group. Its methods are safe for concurrent use.
type Replica struct {
	cfg        Config
	log        *slog.Logger
	fsm        *fsm
	time       *timekeeper
	raft       *raft.Raft
	live       atomic.Pointer[raft.Raft] // raft, for who may ask before Open returns
	trans      *transport
	store      raft.LogStore // for reading; Raft writes through a guard
	snapshots  raft.SnapshotStore
	meta       io.Closer      // see storage
	release    []func() error // what Close undoes after Raft has stopped, last first
	reigns     reigns
	leadership notice // fires when another leader is known, or none

	ctx     context.Context // ends with Close or a failure, whose error is its cause
	cancel  context.CancelCauseFunc
	started time.Time
	opened  chan struct{} // closed when raft is set, or Open has failed
	done    chan struct{} // see Done

	mu     sync.Mutex // guards closed and the growth of tasks
	closed bool
	tasks  sync.WaitGroup // goroutines of this Replica
	slots  chan struct{}  // bounds proposals in flight

	failing, stopping sync.Once
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
	r := &Replica{cfg: cfg, log: cfg.Log, slots: make(chan struct{}, maxInFlight), opened: make(chan struct{}), done: make(chan struct{}),
		time: &timekeeper{clock: cfg.Clock}}
	r.ctx, r.cancel = context.WithCancelCause(context.Background())
	r.fsm = newFSM(machine, r.time, cfg.OnApply, cfg.Log)
	defer close(r.opened)
	if err := r.start(); err != nil {
		return nil, errors.Join(fmt.Errorf("replica in %s: %w", cfg.Dir, err), r.undo())
	}
	r.started = time.Now()
	r.live.Store(r.raft)
	r.goTask(r.ticker)
	r.goTask(r.watchLeader)
	r.goTask(r.keepMembership)
	r.goTask(r.keepWatch)
	cfg.Streams.HandleStream(streamPropose, r.serveProposal)
	cfg.Streams.HandleStream(streamProgress, r.serveProgress)
	return r, nil
}

// start opens the stores and runs Raft over them. What it opened is in r.release, also on an error.
func (r *Replica) start() error {
	logger := newLogger(r.log)
	st, err := openStorage(r.cfg.Dir, logger, r.cfg.Disk, r.cfg.segment)
	if err != nil {
		return err
	}
	r.meta = st.meta
	r.release = append(r.release, st.close)
	disk := &guarded{log: st.log, stable: st.stable, report: r.fail}
	r.store, r.snapshots = st.log, st.snapshots
	r.trans = newTransport(r.cfg.Self, r.cfg.Streams, logger, newCheck(r.cfg.Self, &standing{r: r}))
	r.trans.member, r.trans.ready, r.trans.moved = r.aggregates, r.opened, r.fsm.changed.wait
	r.trans.listen()
	r.release = append(r.release, r.trans.Close)

	conf := r.raftConfig()
	conf.Logger = logger
	// In a goroutine of its own, which a failing disk may end: see guarded.
	ended := make(chan struct{})
	err = errors.New("the disk failed while Raft started")
	go func() {
		defer close(ended)
		r.raft, err = r.newRaft(conf, disk, st.snapshots)
	}()
	<-ended
	if r.raft == nil {
		return errors.Join(err, disk.failure())
	}
	return nil
}

func (r *Replica) newRaft(conf *raft.Config, disk *guarded, snapshots raft.SnapshotStore) (*raft.Raft, error) {
	known, err := raft.HasExistingState(disk, disk, snapshots)
	if err != nil {
		return nil, err
	}
	if !known && r.cfg.founding() {
		if err := raft.BootstrapCluster(conf, disk, disk, snapshots, r.trans, r.membership()); err != nil {
			return nil, fmt.Errorf("write the membership: %w", err)
		}
	}
	return raft.NewRaft(conf, r.fsm, disk, disk, snapshots, r.trans)
}

func (r *Replica) raftConfig() *raft.Config {
	conf := raft.DefaultConfig()
	t := r.cfg.Timing
	conf.LocalID = raft.ServerID(r.cfg.Self.String())
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout, conf.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	conf.MaxAppendEntries = maxBatch // of at most aggregate.MaxRecord bytes each
	conf.ShutdownOnRemove = false
	conf.SnapshotThreshold, conf.SnapshotInterval = snapshotEvery, snapshotReview
	conf.TrailingLogs = trailingRecords // a member that was away for less gets every record, with its effects
	conf.NoLegacyTelemetry = true
	return conf
}

// membership is the same at every founding member, so that each can write it for itself before the first contact.
func (r *Replica) membership() raft.Configuration {
	var c raft.Configuration
	for _, id := range r.cfg.Members {
		c.Servers = append(c.Servers, raft.Server{ID: serverID(id), Address: raft.ServerAddress(id.String())})
	}
	slices.SortFunc(c.Servers, func(a, b raft.Server) int { return strings.Compare(string(a.ID), string(b.ID)) })
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
func (r *Replica) Changed() <-chan struct{} { return r.fsm.changed.wait() }

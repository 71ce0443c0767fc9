package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/replica"
	"drystone/gossip"
	"drystone/protocol"
	"drystone/trainer"
	"drystone/verify"
)

// Aggregator is one member of the council: it orders the run with the others through Raft, gathers contributions, merges
// them, checks them by replay, signs what it has recomputed, and answers peers. The founder's aggregator also hosts the
// ledger.
type Aggregator struct {
	member
	bls      verify.BLSKey
	replica  *replica.Replica
	tlog     *verify.Log
	index    *logIndex
	reveals  *reveals
	promises *replica.Promises
	bank     *bank         // nil but for the founder
	heard    atomic.Uint64 // bytes of reveals that gossip brought

	theta0, outer0 protocol.Digest
	control, cert  *gossip.Topic
	hearing        *hearing
	refund         *refund
	ready          chan struct{} // closed when replica is set
	timings        timings
	duties         tally         // that ended, and their seconds
	lacking        chan struct{} // capacity 1: the transparency log has a gap
	keeping        sync.Mutex    // serialises appends to tlog and index
	finished       chan struct{}
	finishOnce     sync.Once
	failed         chan struct{} // closed when failure is set
	failOnce       sync.Once
	failure        error
	closeOnce      sync.Once
	closeErr       error

	observers observers

	mu    sync.Mutex
	busy  map[string]bool      // duties under way, by key
	done  map[string]time.Time // duties done that the state machine still names, by key
	since time.Time            // this process's own clock at the newest final statement, at least at the start
	paid  uint64               // last epoch known to stand on the chain; ledger host only
}

// OpenAggregator starts an aggregator of the run that the link names. The founder passes the spec, and the dataset is in
// its blob store already. It returns once the Genesis is complete and the replica runs, which for the founder is when all
// the other aggregators are there.
func OpenAggregator(ctx context.Context, cfg Config, link gossip.Link, spec *protocol.RunSpec) (*Aggregator, error) {
	a := &Aggregator{
		ready: make(chan struct{}), lacking: make(chan struct{}, 1), finished: make(chan struct{}), failed: make(chan struct{}), busy: map[string]bool{}, done: map[string]time.Time{},
		since: time.Now(), refund: newRefund(),
	}
	if err := a.start(ctx, cfg, link, spec); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

func (a *Aggregator) start(ctx context.Context, cfg Config, link gossip.Link, spec *protocol.RunSpec) (err error) {
	cfg.peers = 1024 // trainers publish their shards to aggregators, so each needs to reach some
	if cfg.Reach == "" || cfg.Reach == gossip.ReachAuto {
		cfg.Reach = gossip.ReachPublic // the Genesis tells everyone its addresses
	}
	if err := a.open(ctx, cfg, link, spec); err != nil {
		return err
	}
	if a.bls, err = verify.DeriveBLSKey(cfg.Key); err != nil {
		return err
	}
	if a.tlog, err = verify.OpenLog(a.path("log")); err != nil {
		return err
	}
	if a.index, err = newLogIndex(a.tlog); err != nil {
		return err
	}
	a.reveals = newReveals(a.path("reveals"))
	if a.promises, err = replica.OpenPromises(a.path("promises"), a.history.rounds()); err != nil {
		return err
	}
	if err := a.loadData(ctx, a.founderFirst); err != nil {
		return err
	}
	if err := a.storeGenesisState(); err != nil {
		return err
	}
	if cfg.Key.ID() == a.spec.Founder {
		if a.bank, err = openBank(ctx, &a.member); err != nil {
			return err
		}
	}
	if a.history.length() == 0 && a.bank == nil { // the run may be under way without this aggregator
		if err := a.catchUp(ctx, a.entrances(link)); err != nil {
			cfg.Log.Debug("no Genesis yet", "err", err)
		}
	}
	if a.history.length() == 0 {
		if a.bank != nil {
			err = a.found(ctx)
		} else {
			err = a.enlist(ctx)
		}
		if err != nil {
			return err
		}
	}
	return a.takePart()
}

// founderFirst is where an aggregator asks for data before the Genesis is known.
func (a *Aggregator) founderFirst() []protocol.PeerID {
	if peers := a.councilPeers(); len(peers) > 0 {
		return peers
	}
	return []protocol.PeerID{a.spec.Founder}
}

// storeGenesisState computes the initial parameters and outer state and keeps them for the peers.
func (a *Aggregator) storeGenesisState() (err error) {
	theta, err := a.device.Genesis()
	if err != nil {
		return err
	}
	if a.theta0, err = a.blobs.Put(floatBytes(theta)); err != nil {
		return err
	}
	a.outer0, err = a.blobs.Put(make([]byte, 4*a.spec.OuterState(a.params)))
	return err
}

// takePart starts everything that needs the Genesis.
func (a *Aggregator) takePart() error {
	_, genesis := a.history.rules()
	if genesis.Model != a.theta0 || genesis.Outer != a.outer0 {
		return fmt.Errorf("the Genesis's initial state %s is not the one computed here, %s", genesis.Model.Short(), a.theta0.Short())
	}
	founders := make([]protocol.PeerID, len(genesis.Aggregators))
	for i, x := range genesis.Aggregators {
		founders[i] = x.ID
	}
	deployment := deploymentOf(a.run, genesis.Ledger)
	if s := a.history.newestOpen(); s != nil {
		a.timings.begin(s.Statement.Round + 1)
		a.sayIfFew(&s.Statement)
	}
	a.stayConnected()
	v, err := gossip.NewValidator(a.spec, a.params, roundView{a.history, a.params, a.commitOf})
	if err != nil {
		return err
	}
	consume, err := a.joinTopics(v)
	if err != nil {
		return err
	}
	a.replica, err = replica.Open(replica.Config{
		Dir: a.path("raft"), Self: a.cfg.Key.ID(), Members: founders, Streams: a.host, Log: a.cfg.Log, OnApply: a.applied,
		Council: a.certifiedCouncil, Observers: a.mayObserve,
		Machine: aggregate.Config{
			Spec: a.spec, Run: a.run, Params: a.params,
			VerifyDraw: verify.VerifyBLS, VerifySettlement: verifySettlement(a.run, deployment),
			Ownership:      !a.cfg.undivided,
			VerifyRotation: verifyRotation(deployment), VerifyPossession: verify.VerifyPossession,
			VerifyNote: func(signer protocol.PeerID, note []byte) error {
				_, err := verify.OpenNote(note, a.run, signer)
				return err
			},
		},
	})
	if err != nil {
		return err
	}
	close(a.ready)
	a.serve()
	a.serveControl()
	a.serveObserve()
	a.serveOpenings()
	a.serveLeaves()
	a.serveOver()
	consume()
	a.spawn(func(ctx context.Context) {
		// Every aggregator offers the Genesis as the log's first record; one is taken.
		err := retry(ctx, time.Second, func() error { return a.propose(ctx, aggregate.GenesisRecord(a.history.at(0))) })
		if err != nil && ctx.Err() == nil {
			a.warn(0, err)
		}
	})
	a.spawn(a.work)
	a.spawn(a.observe)
	a.spawn(a.declareOver)
	a.spawn(a.completeLog)
	a.spawn(func(ctx context.Context) {
		select {
		case <-a.replica.Done():
			a.fail(a.replica.Err())
		case <-ctx.Done():
		}
	})
	a.watchNetwork()
	return nil
}

// certifiedCouncil returns the aggregators by the statement chain, which may be ahead of the Raft log here.
func (a *Aggregator) certifiedCouncil() (ids []protocol.PeerID) {
	if council, _ := a.history.rules(); council != nil {
		for _, x := range council.Members {
			ids = append(ids, x.ID)
		}
	}
	return ids
}

// propose logs a record within the check deadline. That it is there already is success.
func (a *Aggregator) propose(ctx context.Context, record []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	err := a.replica.Propose(ctx, record)
	if errors.Is(err, aggregate.ErrDuplicate) {
		return nil
	}
	return err
}

// applied stores and publishes what a record brought about. Replication waits for it, so it only writes and queues.
func (a *Aggregator) applied(ap replica.Applied) {
	e := ap.Effects
	if ap.Restored {
		a.timings.restored()
	}
	a.noteTimes(&e)
	a.keptLeaves(a.keepLeaves(e.FirstLeaf, e.Leaves))
	if ap.LogSize > a.tlog.Size() {
		a.lackLeaves()
	}
	for i := range e.Final {
		s := e.Final[i]
		a.noteStatement(&s)
		a.learn(&s)
		a.favour(&s)
		a.spawn(func(ctx context.Context) { a.publish(ctx, &s) })
		if s.Statement.Kind == protocol.KindCertificate {
			a.announceStates()
		}
	}
	a.report(e)
	if len(e.Final) > 0 || len(e.Leaves) > 0 {
		a.host.Recheck()
	}
}

// noteStatement remembers when this process's own clock saw a statement become final, and drops what a round's end makes
// useless.
func (a *Aggregator) noteStatement(s *protocol.SignedStatement) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Now()
	if s.Statement.Kind == protocol.KindCertificate {
		a.promises.Certified(s.Statement.Round)
	}
}

// noteTimes measures phases from when this process is up: the log's replay before that says nothing of them.
func (a *Aggregator) noteTimes(e *aggregate.Effects) {
	select {
	case <-a.ready:
	default:
		return
	}
	a.timings.note(e, time.Now(), a.history.rounds(), func(set *protocol.RevealSet) (tokens uint64) {
		for _, r := range set.Set {
			tokens += uint64(r.Steps) * a.spec.TokensPerStep()
		}
		return tokens
	})
}

func (a *Aggregator) publish(ctx context.Context, s *protocol.SignedStatement) {
	topic := a.control
	if s.Statement.Kind == protocol.KindCertificate {
		topic = a.cert
	}
	if err := topic.Publish(ctx, s.Encode()); err != nil && ctx.Err() == nil {
		a.cfg.Log.Debug("publish statement", "kind", s.Statement.Kind, "err", err)
	}
}

// report turns effects into events.
func (a *Aggregator) report(e aggregate.Effects) {
	for _, s := range e.Final {
		kinds := map[protocol.Kind]EventKind{protocol.KindOpen: EventOpen, protocol.KindFreeze: EventFrozen,
			protocol.KindRevealSet: EventRevealed, protocol.KindCertificate: EventCertified, protocol.KindEnd: EventEnd}
		if k, ok := kinds[s.Statement.Kind]; ok {
			a.emit(Event{Kind: k, Round: s.Statement.Round, Text: fmt.Sprintf("%s of round %d", s.Statement.Kind, s.Statement.Round)})
		}
		switch s.Statement.Kind {
		case protocol.KindOpen:
			a.sayIfFew(&s.Statement)
		case protocol.KindCouncil:
			a.sayCouncil(&s.Statement)
		}
	}
	for _, c := range e.Convicted {
		a.emit(Event{Kind: EventConvicted, Round: c.Round, Peer: c.Peer,
			Text: fmt.Sprintf("%s refuted: its contribution to round %d does not replay (segment %d)", c.Peer.Short(), c.Round, c.Segment)})
	}
	for _, v := range e.Evidence {
		if v.Kind == aggregate.EvidenceWithheld {
			a.emit(Event{Kind: EventWarning, Round: v.Round, Peer: v.Who,
				Text: fmt.Sprintf("%s opened nothing of its contribution to round %d in time: it is not paid, and the next absence convicts", v.Who.Short(), v.Round)})
		}
	}
	for _, f := range e.Faults {
		a.emit(Event{Kind: EventWarning, Round: f.Round, Peer: f.Aggregator, Text: fmt.Sprintf("aggregator %s: %s in round %d", f.Aggregator.Short(), f.Kind, f.Round)})
	}
	for _, s := range e.Settled {
		a.emit(Event{Kind: EventSettled, Count: s.Settlement.Epoch, Text: fmt.Sprintf("epoch %d settled", s.Settlement.Epoch)})
	}
}

func (a *Aggregator) warn(round uint32, err error) {
	a.cfg.Log.Warn("aggregator", "round", round, "err", err)
	a.emit(Event{Kind: EventWarning, Round: round, Text: err.Error()})
}

// view copies the machine's state.
func (a *Aggregator) view() (v aggregate.View) {
	a.replica.Read(func(m *aggregate.Machine) { v = m.View() })
	return v
}

// Finished is closed when the run is over: all rounds certified, all checks ended, all epochs settled.
func (a *Aggregator) Finished() <-chan struct{} { return a.finished }

// Failed is closed when the aggregator cannot go on: Err says why. Close it.
func (a *Aggregator) Failed() <-chan struct{} { return a.failed }

// Err returns why the aggregator cannot go on, nil before Failed is closed. It wraps replica.ErrDisk if a disk failed, and
// replica.ErrRemoved if the run has removed this aggregator.
func (a *Aggregator) Err() error {
	select {
	case <-a.failed:
		return a.failure
	default:
		return nil
	}
}

func (a *Aggregator) fail(err error) {
	a.failOnce.Do(func() {
		a.failure = fmt.Errorf("this aggregator stops: %w", err)
		close(a.failed)
		a.warn(0, a.failure)
	})
}

// HandOver gives up the leadership of the Raft group, if this aggregator has it, so that maintenance costs the run no
// time. Close does so too.
func (a *Aggregator) HandOver(ctx context.Context) error { return a.replica.TransferLeadership(ctx) }

// Link returns the run link that leads to this aggregator.
func (a *Aggregator) Link() gossip.Link { return a.host.Link() }

// Device is the compute device that this aggregator uses.
func (a *Aggregator) Device() *trainer.Device { return a.device }

// Close stops the aggregator and releases its directory. What it had logged is on disk. A second Close does nothing.
func (a *Aggregator) Close() error {
	a.closeOnce.Do(func() { a.closeErr = a.shut() })
	return a.closeErr
}

func (a *Aggregator) shut() error {
	if a.cancel != nil {
		a.cancel()
	}
	var errs []error
	if a.replica != nil {
		errs = append(errs, a.replica.Close())
	}
	errs = append(errs, a.member.close())
	if a.tlog != nil {
		errs = append(errs, a.tlog.Close())
	}
	if a.promises != nil {
		errs = append(errs, a.promises.Close())
	}
	if a.bank != nil {
		errs = append(errs, a.bank.close())
	}
	return errors.Join(errs...)
}

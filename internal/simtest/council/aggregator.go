package council

import (
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
	"drystone/verify"
)

// retry is the pause before a record is proposed, or a message sent, again.
const retry = 2 * time.Second

// Conduct is what a lying aggregator sends for a duty in place of the honest records, which are none where the honest one
// would wait or refuse. It is asked once for each duty and gets its own replica's view.
type Conduct func(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte

// Aggregator is one replica with what node.Aggregator does around it.
type Aggregator struct {
	protocol.Key
	// Conduct is nil for the honest.
	Conduct Conduct
	// Liar marks one that lies in other ways than its Conduct.
	Liar bool
	Skew time.Duration // of its clock
	Down bool
	// What the effects of its machine told, and the statement chain on its disk, Genesis first.
	Chain     []protocol.SignedStatement
	When      []int64 // virtual milliseconds at which it saw each of them become final
	Evidence  []aggregate.Evidence
	Convicted []aggregate.Conviction
	Faults    []aggregate.Fault

	sim      *Sim
	order    *order
	machine  *aggregate.Machine
	snapshot []byte // on disk, with the number of records in it
	snapAt   int
	applied  int
	furthest int // records whose effects were told
	since    time.Time
	life     int // timers of an earlier one are void
	promises aggregate.Promises
	journal  [][]byte                            // on disk: what it signed
	owed     map[protocol.Digest]protocol.PeerID // receipts, once the commit is logged
	reveals  map[revealKey]*protocol.Reveal
	sent     map[string]sending
}

type revealKey struct {
	round uint32
	peer  protocol.PeerID
	shard uint32
}

type sending struct {
	records [][]byte
	at      int64
}

func newAggregator(s *Sim, k protocol.Key, o *order) *Aggregator {
	a := &Aggregator{Key: k, sim: s, order: o, reveals: map[revealKey]*protocol.Reveal{}}
	a.begin()
	return a
}

// Honest reports whether it keeps to the protocol; it may crash.
func (a *Aggregator) Honest() bool { return a.Conduct == nil && !a.Liar }

func (a *Aggregator) config() aggregate.Config {
	return aggregate.Config{Spec: &a.sim.Spec, Run: a.sim.Run0, Params: params, VerifyDraw: verifyDraw, VerifySettlement: verifySettlement,
		VerifyRotation: verifyRotation, Ownership: true,
		VerifyNote: func(signer protocol.PeerID, note []byte) error {
			_, err := verify.OpenNote(note, a.sim.Run0, signer)
			return err
		}}
}

// begin starts the process with what its disk holds: snapshot, statements, reveals, and the journal of its promises.
func (a *Aggregator) begin() {
	a.machine = must(aggregate.New(a.config()))
	if a.applied = a.snapAt; a.snapshot != nil {
		if err := a.machine.Restore(a.snapshot); err != nil {
			panic(err)
		}
	}
	a.Down, a.since, a.sent = false, a.clock(), map[string]sending{}
	a.owed, a.promises = map[protocol.Digest]protocol.PeerID{}, aggregate.Promises{}
	for _, b := range a.journal {
		a.promises.Note(must(aggregate.DecodePromise(b)))
	}
	a.life++
	life := a.life
	var poll func()
	poll = func() {
		if a.life == life && !a.Down {
			a.catchUp()
			a.do()
			a.sim.After(pollLog, poll)
		}
	}
	a.sim.After(a.sim.delay(), poll)
}

// Crash stops the process. What it did not write is lost.
func (a *Aggregator) Crash() { a.Down = true }

// Restart starts it again.
func (a *Aggregator) Restart() {
	if a.Down {
		a.begin()
	}
}

// clock is its own; it is right but for the skew.
func (a *Aggregator) clock() time.Time { return a.sim.Now().Add(a.Skew) }

// catchUp applies the records that its log has and it has not.
func (a *Aggregator) catchUp() {
	if !a.order.reaches(a) {
		return
	}
	moved := false
	for !a.Down && a.applied < len(a.order.log) {
		fx, err := a.machine.Apply(a.order.log[a.applied])
		a.applied++
		if err == nil {
			moved = true
			a.tell(fx)
		}
		a.furthest = max(a.furthest, a.applied)
		if a.applied%16 == 0 {
			a.snapshot, a.snapAt = must(a.machine.Snapshot()), a.applied
		}
	}
	if moved {
		a.giveReceipts()
		a.do()
	}
}

// tell hands out what a record brought about. After a restart the disk knows some of it already.
func (a *Aggregator) tell(fx aggregate.Effects) {
	if a.Chain == nil {
		a.Chain, a.When = []protocol.SignedStatement{*a.sim.genesis}, []int64{a.sim.now}
	}
	for _, f := range fx.Final {
		if f.Statement.Kind == protocol.KindGenesis {
			continue
		}
		a.since = a.clock()
		if f.Statement.Follows(&a.Chain[len(a.Chain)-1].Statement) == nil {
			a.Chain, a.When = append(a.Chain, f), append(a.When, a.sim.now)
		}
		for _, t := range a.sim.Trainers {
			a.sim.send(a.ID(), t.ID(), func() { t.hear(a, f) })
		}
	}
	if a.applied < a.furthest {
		return
	}
	a.Evidence = append(a.Evidence, fx.Evidence...)
	a.Convicted = append(a.Convicted, fx.Convicted...)
	a.Faults = append(a.Faults, fx.Faults...)
}

// takeCommit logs a trainer's commit; the receipt follows once it is there.
func (a *Aggregator) takeCommit(from protocol.PeerID, c protocol.Signed[protocol.Commit]) {
	if a.Down {
		return
	}
	d := c.Digest()
	if slices.Contains(a.promises.Receipts(c.Body.Round), d) {
		a.giveReceipt(from, c)
		return
	}
	if _, known := a.owed[d]; !known && c.Verify() != nil {
		return
	}
	a.owed[d] = from
	if !a.giveReceipts() {
		a.order.propose(a, aggregate.CommitRecord(c))
	}
}

// giveReceipts answers the commits that are in the log, and reports whether all are answered.
func (a *Aggregator) giveReceipts() bool {
	if len(a.owed) == 0 {
		return true
	}
	for _, c := range a.machine.Commits(a.machine.View().Round) {
		d := c.Digest()
		if to, ok := a.owed[d]; ok {
			delete(a.owed, d)
			if a.promise(aggregate.ReceiptPromise(c.Body.Round, d)) {
				a.giveReceipt(to, c)
			}
		}
	}
	return len(a.owed) == 0
}

func (a *Aggregator) giveReceipt(to protocol.PeerID, c protocol.Signed[protocol.Commit]) {
	r := protocol.Sign(a.Key, protocol.Receipt{Run: a.sim.Run0, Round: c.Body.Round, Commit: c.Digest(), Aggregator: a.ID()})
	i := slices.IndexFunc(a.sim.Trainers, func(t *Trainer) bool { return t.ID() == to })
	a.sim.send(a.ID(), to, func() { a.sim.Trainers[i].takeReceipt(r) })
}

// takeReveal keeps a reveal; it is checked when it is used.
func (a *Aggregator) takeReveal(r *protocol.Reveal) {
	if !a.Down && int(r.Shard) < a.sim.Spec.Codec.Shards(params) {
		a.reveals[revealKey{r.Round, r.Peer, r.Shard}] = r
		a.do()
	}
}

// do proposes what the replica owes, again after a while if it still owes it.
func (a *Aggregator) do() {
	if a.Down {
		return
	}
	for _, d := range a.machine.Duties(a.ID()) {
		key := d.Key()
		was, known := a.sent[key]
		if known && (a.sim.now < was.at+retry.Milliseconds()) {
			continue
		}
		records := was.records
		if len(records) == 0 {
			records = a.discharge(d)
			if a.Conduct != nil && !(known && records == nil) {
				records = a.Conduct(a, d, records)
			}
		}
		a.sent[key] = sending{records, a.sim.now}
		for _, r := range records {
			a.order.propose(a, r)
		}
	}
}

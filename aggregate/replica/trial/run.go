package trial

import (
	"fmt"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// trainers is how many peers take part from the start.
const trainers = 3

// checkIn is how many seconds a verifier has, if Options say nothing.
const checkIn uint32 = 5

// ownerHour is deadlines.reveal of a run whose shards have owners.
const ownerHour = 3600

// plan is what the processes of a trial have to know of their run.
type plan struct {
	Rounds uint32
	Check  uint32 // seconds that a verifier has
	Shards int    // that have 3 owners each among 5 members; 0 for 4 members that all own everything
}

// newWorld is the run that all processes of a trial take part in. Its deadlines for trainers never pass, so that no outage
// costs a contribution. A check that its verifier does not do in time, in so many seconds, passes on to the next, as long as
// one of them does it in time, or the outcome is another: a member that is away holds the run up for that long at most.
//
// Where shards have owners, an hour of the logged time is the deadline for reveals, which passes on command (member.pass).
func newWorld(p plan) *aggtest.World {
	w := aggtest.New(func(s *protocol.RunSpec) {
		s.Train.Rounds, s.Payout.EpochRounds = p.Rounds, 10
		s.Deadlines = protocol.DeadlineSpec{Train: 86400, Reveal: 86400, Check: p.Check}
		if p.Shards > 0 {
			s.Deadlines.Reveal = ownerHour
			s.Quorum = protocol.QuorumSpec{Aggregators: 5, Threshold: 3}
		}
	})
	if p.Shards > 0 {
		w.Ownership, w.Params = true, p.Shards*w.Spec.Codec.ShardParams-100
	}
	return w
}

// commits returns what the trainers of the current round commit, and makes the world know their contributions, which
// attests need.
func commits(w *aggtest.World, v aggregate.View) (records [][]byte) {
	if len(v.Rounds) == 0 {
		return nil
	}
	r := v.Rounds[len(v.Rounds)-1]
	if r.Round != v.Round || len(r.Statements) == 0 {
		return nil
	}
	v.Head = &r.Statements[0]
	for i, k := range w.Peers {
		for _, id := range r.Roster {
			if id == k.ID() {
				records = append(records, w.Commit(v, i, "honest"))
			}
		}
	}
	return records
}

// outcome is what a finished run comes to, whatever happened on the way: the head of the statement chain, and with it
// every statement, the model, the trainers' accounts and what they earn.
func outcome(v aggregate.View) (protocol.Digest, error) {
	type account struct {
		_      struct{} `cbor:",toarray"`
		ID     protocol.PeerID
		Tokens uint64
		Rounds uint32
	}
	var all struct {
		_        struct{} `cbor:",toarray"`
		Head     protocol.Digest
		Model    protocol.Digest
		Epoch    uint64
		Payouts  []protocol.Payout
		Accounts []account
	}
	if v.Head == nil || v.LastSettled == nil {
		return protocol.Digest{}, fmt.Errorf("the run is in phase %s", v.Phase)
	}
	all.Head, all.Model, all.Epoch, all.Payouts = v.Head.Statement.Digest(), v.Model, v.Settled, v.LastSettled.Payouts
	for _, p := range v.Peers {
		all.Accounts = append(all.Accounts, account{ID: p.ID, Tokens: p.Tokens, Rounds: p.Rounds})
	}
	b, err := protocol.Encode(all)
	return protocol.Hash("trial outcome", b), err
}

// Undisturbed plays the run on one machine, without a network, a disk or a fault, and returns its outcome.
func Undisturbed(rounds uint32) (protocol.Digest, error) {
	return undisturbed(plan{Rounds: rounds, Check: checkIn})
}

func undisturbed(p plan) (protocol.Digest, error) {
	w := newWorld(p)
	m, err := aggregate.New(w.Config())
	if err != nil {
		return protocol.Digest{}, err
	}
	err = play(w, m, func(record []byte) error {
		_, err := m.Apply(record)
		return err
	})
	if err != nil {
		return protocol.Digest{}, err
	}
	return outcome(m.View())
}

// play drives a machine through its whole run by records that it hands to apply.
func play(w *aggtest.World, m *aggregate.Machine, apply func([]byte) error) error {
	if err := apply(w.Genesis()); err != nil {
		return err
	}
	for i := range trainers {
		if err := apply(w.Join(i, 1)); err != nil {
			return err
		}
	}
	for now := time.Now().UnixMilli(); m.Phase() != aggregate.PhaseFinished || owed(w, m); now++ {
		did, err := step(w, m, apply)
		if err != nil {
			return err
		}
		if !did { // a timer waits for its first Tick
			if err := apply(aggregate.TickRecord(now)); err != nil {
				return err
			}
		}
	}
	return nil
}

// owed reports whether anybody has a duty left.
func owed(w *aggtest.World, m *aggregate.Machine) bool {
	for _, k := range w.Aggs {
		if len(m.Duties(k.ID())) > 0 {
			return true
		}
	}
	return false
}

// step applies what is due now, and reports whether anything was.
func step(w *aggtest.World, m *aggregate.Machine, apply func([]byte) error) (did bool, err error) {
	if m.Phase() == aggregate.PhaseTrain {
		v := m.View()
		for _, record := range commits(w, v) {
			if err := apply(record); err != nil {
				return did, err
			}
			did = true
		}
	}
	for _, k := range w.Aggs {
		for due := m.Duties(k.ID()); len(due) > 0; due = m.Duties(k.ID()) { // one may void the next
			if err := apply(w.Discharge(k, due[0])); err != nil {
				return did, fmt.Errorf("%s: %w", due[0].Key(), err)
			}
			did = true
		}
	}
	return did, nil
}

package aggregate

import (
	"slices"

	"drystone/protocol"
)

// View is a copy of the machine's state for display and for serving peers. It shares nothing with the machine.
type View struct {
	Run         protocol.Digest
	Phase       Phase
	Round       uint32                    // the current round; after the last Certificate, Total
	LoggedMilli int64                     // logged time, milliseconds since 1970
	Deadline    int64                     // of the current phase, likewise; 0 for none
	Head        *protocol.SignedStatement // last final statement; nil before Genesis
	Pending     *protocol.SignedStatement // the statement being signed, with its signatures so far; nil for none
	Model       protocol.Digest           // ModelRoot of theta of the current round
	Outer       protocol.Digest
	Peers       []PeerView  // everyone who ever joined, ascending
	Rounds      []RoundView // live rounds, ascending: the current one, and earlier ones with open checks
	Settled     uint64      // last settled epoch, 0 for none
	LastSettled *SettledEpoch
	Aggregators []AggregatorView // ascending
	LogSize     uint64
	LogRoot     protocol.Digest
	Checkpoint  *CosignedCheckpoint                // the latest that reached its quorum; nil for none
	Evidence    []Evidence                         // the latest 256
	Council     *protocol.Council                  // that signs now, immutable; nil before Genesis
	Total       uint32                             // rounds of the run: as planned, or fewer once an End is final
	Ended       bool                               // by an End
	Nonce       uint64                             // of the founder's last Control; the next one must be higher
	Pause       *protocol.Signed[protocol.Control] // that holds the run from the end of the present round on; nil for none
	Stop        *protocol.Signed[protocol.Control] // likewise, that ends it
	Change      *protocol.Signed[protocol.Control] // of the council, pending; nil for none
}

// PeerView is what is known of a peer.
type PeerView struct {
	ID        protocol.PeerID
	Payout    protocol.Address
	Nonce     uint64
	Active    bool   // is in the next roster
	Misses    uint32 // consecutive rounds without a revealed contribution
	Convicted bool   // out for the rest of the run
	Refuted   uint32 // the round of the refuted contribution, if Convicted
	Withheld  bool   // opened nothing when a check asked, from round Since on: the next time convicts
	Since     uint32 // if Withheld
	Tokens    uint64 // trained in contributions that entered a merge, refuted ones excepted
	Rounds    uint32 // contributions that entered a merge, refuted ones included
	Shards    uint32 // that it can train, 0 for all
}

// AggregatorView is what is known of an aggregator.
type AggregatorView struct {
	ID     protocol.PeerID
	Faults uint32
	Checks uint32 // verdicts given
	Away   bool   // was late, and was not heard of since
}

// RoundView is a live round.
type RoundView struct {
	Round      uint32
	Statements []protocol.SignedStatement // final ones of the round, in order
	Roster     []protocol.PeerID
	Commits    []protocol.Signed[protocol.Commit] // ascending by peer
	Checks     []CheckView                        // one per contribution of the RevealSet, ascending
	Settled    bool                               // every check has ended
}

// CheckView is the state of the checks of one contribution.
type CheckView struct {
	Peer    protocol.PeerID
	Steps   uint32
	Settled bool
	Refuted bool
	Slots   []SlotView
}

// SlotView is one verifier's check of a contribution.
type SlotView struct {
	Verifier protocol.PeerID
	State    SlotState
	Drawn    bool
	Segment  uint32 // if Drawn
	Verdicts []VerdictView
}

// VerdictView is one verdict.
type VerdictView struct {
	Verifier protocol.PeerID
	Outcome  protocol.Outcome
}

// SlotState is where one check stands.
type SlotState uint8

// States of a check.
const (
	SlotOwed      SlotState = 1 // the verifier's draw or verdict is awaited
	SlotDisputed  SlotState = 2 // it failed; confirmations are awaited
	SlotPassed    SlotState = 3
	SlotRefuted   SlotState = 4
	SlotCleared   SlotState = 5 // it failed, and the others contradicted
	SlotUndecided SlotState = 6 // it failed, and too few others answered
	SlotUnchecked SlotState = 7 // every verifier was late
	SlotVoid      SlotState = 8 // another check refuted the contribution first
	SlotWithheld  SlotState = 9 // nothing was opened, and the RunSpec spares the first time: not paid
)

// String returns the state in words.
func (s SlotState) String() string {
	names := [...]string{"unknown", "owed", "disputed", "passed", "refuted", "cleared", "undecided", "unchecked", "void", "withheld"}
	if int(s) >= len(names) {
		return names[0]
	}
	return names[s]
}

// View returns a copy of the state.
func (m *Machine) View() View {
	v := View{Run: m.cfg.Run, Phase: m.s.Phase, Round: m.s.Round, LoggedMilli: m.s.Now, Deadline: m.phaseDeadline(),
		Model: m.s.Model, Outer: m.s.Outer, Settled: m.s.Pay.Settled, LogSize: m.s.Log.Size, LogRoot: m.logRoot(),
		Evidence: slices.Clone(m.s.Evidence), Council: m.council, Total: m.rounds(), Ended: m.s.Ended, Nonce: m.s.Orders.Nonce,
		Pause: m.s.Orders.Pause, Stop: m.s.Orders.Stop, Change: m.s.Orders.Change}
	if m.s.Head != nil {
		v.Head = cloneSigned(m.s.Head)
	}
	if len(m.s.Ballots) > 0 {
		v.Pending = m.s.Ballots[0].signed()
	}
	for _, p := range m.s.Peers {
		pv := PeerView{ID: p.ID, Payout: p.Payout, Nonce: p.Nonce, Active: p.Active, Misses: p.Misses,
			Convicted: p.Convicted, Tokens: p.Tokens, Rounds: p.Merged, Shards: p.Shards}
		if p.Convicted {
			pv.Refuted = p.Refuted
		} else if p.Refuted > 0 {
			pv.Withheld, pv.Since = true, p.Refuted-1
		}
		v.Peers = append(v.Peers, pv)
	}
	for i := range m.s.Rounds {
		v.Rounds = append(v.Rounds, m.viewRound(&m.s.Rounds[i]))
	}
	if l := m.s.Pay.Last; l != nil {
		c := l.clone()
		v.LastSettled = &c
	}
	for _, a := range m.s.Aggregators {
		v.Aggregators = append(v.Aggregators, AggregatorView{ID: a.ID, Faults: a.Faults, Checks: a.Checks, Away: a.Away})
	}
	if l := m.s.Log.Last; l != nil {
		c := l.clone()
		v.Checkpoint = &c
	}
	return v
}

func cloneSigned(s *protocol.SignedStatement) *protocol.SignedStatement {
	return &protocol.SignedStatement{Statement: s.Statement, Sigs: slices.Clone(s.Sigs)}
}

func (m *Machine) viewRound(r *round) RoundView {
	v := RoundView{Round: r.Number, Settled: r.Settled}
	for i := range r.Statements {
		v.Statements = append(v.Statements, *cloneSigned(&r.Statements[i]))
	}
	for i := range r.Entries {
		e := &r.Entries[i]
		v.Roster = append(v.Roster, e.Peer)
		if e.Commit != nil {
			v.Commits = append(v.Commits, *e.Commit)
		}
		if e.Reveal != nil {
			v.Checks = append(v.Checks, m.viewCheck(r, e))
		}
	}
	return v
}

func (m *Machine) viewCheck(r *round, e *entry) CheckView {
	v := CheckView{Peer: e.Peer, Steps: e.Commit.Body.Steps, Settled: e.Check.Done, Refuted: e.Check.Refuted}
	for _, s := range e.Check.Slots {
		sv := SlotView{Verifier: s.Verifier, State: s.State}
		if seed, ok := r.drawn(s.Verifier); ok {
			sv.Drawn, sv.Segment = true, m.segment(seed, e)
		}
		for _, vt := range s.Votes {
			sv.Verdicts = append(sv.Verdicts, VerdictView{Verifier: vt.Verifier, Outcome: vt.Outcome})
		}
		v.Slots = append(v.Slots, sv)
	}
	return v
}

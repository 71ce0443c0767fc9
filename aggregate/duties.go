package aggregate

import (
	"slices"

	"drystone/protocol"
)

// codecChunk is the number of parameters of a codec chunk, 4096: one Merkle leaf of float32 values.
const codecChunk = protocol.LeafSize / 4

// Duties returns what the aggregator self should do now, derived from the state alone: signatures first, then the
// round's work, then checks, settlement and checkpoint. It returns nil for anybody else. The result stays as it is when
// the machine goes on; do not change the byte slices in it.
func (m *Machine) Duties(self protocol.PeerID) []Duty {
	if m.council == nil || m.member(self) != nil {
		return nil
	}
	duties := append(m.roundDuties(self), m.rotateDuties(self)...)
	for i := range m.s.Rounds {
		if r := &m.s.Rounds[i]; !r.Settled && r.statement(protocol.KindRevealSet) != nil {
			duties = append(duties, m.checkDuties(r, self)...)
		}
	}
	if e := m.due(); e != nil {
		if _, ok := search(m.s.Pay.Bids, self, bidKey); !ok {
			d := DutySettle{Epoch: e.Number, LogRoot: e.LogRoot, Work: e.payable()}
			if m.s.Pay.Last != nil {
				d.Previous = slices.Clone(m.s.Pay.Last.Payouts)
			}
			duties = append(duties, d)
		}
	}
	if t := m.s.Log.Target; t != nil && !noted(t, self) {
		duties = append(duties, DutyCheckpoint{Size: t.Size, Root: t.Root})
	}
	return duties
}

func (m *Machine) roundDuties(self protocol.PeerID) []Duty {
	for i := range m.s.Ballots {
		if _, ok := search(m.s.Ballots[i].Sigs, self, cosignKey); ok {
			return nil
		}
	}
	switch m.s.Phase {
	case PhaseOpening, PhaseFreezing, PhaseRevealing, PhaseChanging, PhaseEnding:
		return []Duty{DutySign{Statement: m.s.Ballots[0].Statement}}
	case PhaseReveal:
		return m.gatherDuties(self)
	case PhaseMerge:
		switch {
		case m.freeMerge():
			return m.mergeDuties()
		case len(m.s.Ballots) == 0:
			return m.partDuties(self)
		}
		return []Duty{DutySign{Statement: m.s.Ballots[0].Statement, Shards: m.round(m.s.Round).Parts.roots()}}
	}
	return nil
}

func (m *Machine) gatherDuties(self protocol.PeerID) []Duty {
	var duties []Duty
	r := m.round(m.s.Round)
	o, owned := m.ownership(r), m.owned(r)
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Commit == nil {
			continue
		}
		d := DutyGather{Round: r.Number, Frozen: r.Frozen, Commit: *e.Commit, Shards: o.spans[i].List()}
		if _, ok := search(e.Attests, self, attestKey); owned {
			if d.Own = o.missing(r, i, self); len(d.Own) > 0 {
				duties = append(duties, d)
			}
		} else if !ok {
			duties = append(duties, d)
		}
	}
	return duties
}

func (m *Machine) mergeDuties() []Duty {
	d, ok := m.mergeDuty(m.round(m.s.Round))
	if !ok {
		return nil
	}
	return []Duty{d}
}

// mergeDuty is the merge of a round; false only if a body that the machine made itself does not decode.
func (m *Machine) mergeDuty(r *round) (DutyMerge, bool) {
	open, err := protocol.DecodeBody[protocol.Open](&r.statement(protocol.KindOpen).Statement)
	if err != nil {
		return DutyMerge{}, false
	}
	revealed := r.statement(protocol.KindRevealSet)
	set, err := protocol.DecodeBody[protocol.RevealSet](&revealed.Statement)
	if err != nil {
		return DutyMerge{}, false
	}
	return DutyMerge{Round: r.Number, Prev: revealed.Statement.Digest(), Open: *open, RevealSet: *set}, true
}

func (m *Machine) checkDuties(r *round, self protocol.PeerID) []Duty {
	var checks []Duty
	mustDraw := false
	_, drew := r.drawn(self)
	for i := range r.Entries {
		e := &r.Entries[i]
		for j := range e.Check.Slots {
			s := &e.Check.Slots[j]
			mine := s.State == SlotOwed && s.Verifier == self
			voted := slices.ContainsFunc(s.Votes, func(v vote) bool { return v.Verifier == self })
			confirm := s.State == SlotDisputed && self != e.Peer && !voted
			if mine && !drew {
				mustDraw = true
			} else if mine || confirm {
				checks = append(checks, m.checkDuty(r, i, s.Verifier, confirm))
			}
		}
	}
	if mustDraw {
		return append([]Duty{DutyDraw{Round: r.Number, Message: m.drawMessage(r)}}, checks...)
	}
	return checks
}

// checkDuty is the check of the i-th rostered peer's contribution that drawer's draw chose.
func (m *Machine) checkDuty(r *round, i int, drawer protocol.PeerID, confirm bool) DutyCheck {
	e := &r.Entries[i]
	seed, _ := r.drawn(drawer)
	shards := m.assigned(r, i)
	return DutyCheck{
		Assignment: protocol.Assignment{Run: m.cfg.Run, Round: r.Number, Index: uint32(i), Steps: e.Commit.Body.Steps, Shards: shards},
		Peer:       e.Peer,
		Drawer:     drawer,
		Seed:       seed,
		Segment:    m.segment(seed, e),
		Chunks:     m.cfg.Spec.CheckChunks(seed, e.Peer, m.cfg.Params, shards),
		Commit:     *e.Commit,
		Start:      e.Reveal.Start,
		End:        e.Reveal.End,
		Confirm:    confirm,
	}
}

// assigned returns the shards of the i-th rostered peer, nil for all of them. They are derived, not kept: strangers decide
// how many there are.
func (m *Machine) assigned(r *round, i int) []uint32 { return m.spans(r)[i].List() }

// spans are what assigned lists, of the whole roster.
func (m *Machine) spans(r *round) []protocol.ShardSpan {
	if len(r.Capacity) != len(r.Entries) {
		return make([]protocol.ShardSpan, len(r.Entries)) // everyone trains everything
	}
	return protocol.ShardSpans(m.shards(), r.Number, r.Capacity)
}

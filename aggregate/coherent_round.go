package aggregate

import (
	"slices"

	"drystone/protocol"
)

// coherentRounds checks which rounds are live: the one under way, the one before it, and those whose checks go on.
func (m *Machine) coherentRounds() error {
	s := &m.s
	if uint64(len(s.Rounds)) > uint64(m.cfg.Spec.Verify.Window)+2 {
		return incoherent("%d live rounds, at most %d are", len(s.Rounds), m.cfg.Spec.Verify.Window+2)
	}
	for i := range s.Rounds {
		r := &s.Rounds[i]
		switch current := s.underWay() && r.Number == s.Round; {
		case i > 0 && s.Rounds[i-1].Number >= r.Number, !current && r.Number >= s.Round:
			return incoherent("round %d among the live ones of round %d", r.Number, s.Round)
		case r.Settled && uint64(r.Number)+1 < uint64(s.Round):
			return incoherent("round %d is settled and not forgotten", r.Number)
		}
		if err := m.coherentRound(r); err != nil {
			return err
		}
	}
	if s.underWay() && m.round(s.Round) == nil || s.Round > 0 && m.round(s.Round-1) == nil {
		return incoherent("round %d without itself or the one before", s.Round)
	}
	return nil
}

// finals is how many final statements a round has in a phase of its own.
func finals(p Phase) int {
	switch p {
	case PhaseTrain, PhaseFreezing:
		return 1
	case PhaseReveal, PhaseRevealing:
		return 2
	case PhaseMerge:
		return 3
	}
	return 4
}

func (m *Machine) coherentRound(r *round) error {
	want := 4
	if r.Number == m.s.Round && m.s.underWay() {
		want = finals(m.s.Phase)
	}
	if len(r.Statements) != want {
		return incoherent("round %d with %d final statements, want %d", r.Number, len(r.Statements), want)
	}
	for i := range r.Statements {
		st := &r.Statements[i].Statement
		if st.Kind != protocol.KindOpen+protocol.Kind(i) || st.Round != r.Number || st.Run != m.cfg.Run || len(r.Statements[i].Sigs) > protocol.MaxSigners {
			return incoherent("%s of round %d in place %d of round %d", st.Kind, st.Round, i, r.Number)
		}
		if i > 0 {
			if err := st.Follows(&r.Statements[i-1].Statement); err != nil {
				return err
			}
		}
	}
	open, err := protocol.DecodeBody[protocol.Open](&r.Statements[0].Statement)
	if err != nil {
		return err
	}
	same := func(e entry, id protocol.PeerID) bool { return e.Peer == id }
	if !slices.EqualFunc(r.Entries, open.Roster, same) || !slices.Equal(r.Capacity, open.Capacity) {
		return incoherent("round %d with another roster than its Open", r.Number)
	}
	if err := m.coherentRoster(open); err != nil {
		return err
	}
	for i := range r.Entries {
		if err := m.coherentEntry(r, &r.Entries[i], want); err != nil {
			return err
		}
	}
	return m.coherentStages(r, want)
}

// coherentStages checks what a round gains with each statement: F_r, the contributions, the checks, the merge in parts.
func (m *Machine) coherentStages(r *round, have int) error {
	frozen := have > 1 || m.s.Phase == PhaseFreezing
	if have > 1 {
		if err := m.coherentFreeze(r, &r.Statements[1].Statement); err != nil {
			return err
		}
	}
	if have > 2 {
		if err := coherentSet(r, &r.Statements[2].Statement); err != nil {
			return err
		}
	}
	open := slices.ContainsFunc(r.Entries, func(e entry) bool { return !e.Check.Done })
	switch {
	case !frozen && !r.Frozen.IsZero():
		return incoherent("round %d is frozen before its Freeze", r.Number)
	case have < 3 && (len(r.Draws) > 0 || len(r.Faulted) > 0 || r.Settled):
		return incoherent("round %d is checked before its RevealSet", r.Number)
	case have > 2 && r.Settled == open:
		return incoherent("round %d is settled, or not, against its checks", r.Number)
	case !ascending(r.Draws, drawKey) || len(r.Draws) > protocol.MaxSigners || len(r.Faulted) > protocol.MaxSigners:
		return incoherent("round %d with %d draws and %d faults", r.Number, len(r.Draws), len(r.Faulted))
	}
	if have == 3 && !m.emptySet() && m.owned(r) {
		return m.coherentParts(r)
	}
	if r.Parts != nil {
		return incoherent("round %d is merged in parts out of turn", r.Number)
	}
	return nil
}

func (m *Machine) coherentEntry(r *round, e *entry, have int) error {
	c := &e.Check
	switch {
	case e.Commit == nil && (e.Double || len(e.Attests) > 0 || e.Reveal != nil || e.Bad), e.Reveal != nil && e.Bad:
		return incoherent("%s in round %d without a commit", e.Peer.Short(), r.Number)
	case have < 2 && (len(e.Attests) > 0 || e.Reveal != nil || e.Bad):
		return incoherent("%s revealed before the Freeze of round %d", e.Peer.Short(), r.Number)
	case (have < 3 || e.Reveal == nil) && (len(c.Slots) > 0 || c.Refuted || c.Next > 0), have < 3 && c.Done:
		return incoherent("%s in round %d is checked without a contribution", e.Peer.Short(), r.Number)
	case len(c.Slots) > protocol.MaxSigners || c.Next > protocol.MaxSigners:
		return incoherent("%s in round %d with %d checks", e.Peer.Short(), r.Number, len(c.Slots))
	}
	if e.Commit != nil {
		b := &e.Commit.Body
		if b.Run != m.cfg.Run || b.Round != r.Number || b.Peer != e.Peer || b.Open != r.Statements[0].Statement.Digest() ||
			b.Steps < 1 || b.Steps > m.cfg.Spec.Train.Steps {
			return incoherent("commit of %s to %d steps of round %d in round %d", b.Peer.Short(), b.Steps, b.Round, r.Number)
		}
	}
	if len(e.Attests) > protocol.MaxSigners || !ascending(e.Attests, attestKey) {
		return incoherent("%d attests to %s in round %d", len(e.Attests), e.Peer.Short(), r.Number)
	}
	for i := range e.Attests {
		if a := e.Attests[i].Shards; !increasing(a) || len(a) > 0 && int64(a[len(a)-1]) >= int64(m.shards()) {
			return incoherent("attest to shards %v of %s in round %d", a, e.Peer.Short(), r.Number)
		}
	}
	open := false
	for i := range c.Slots {
		if err := m.coherentSlot(r, e, &c.Slots[i]); err != nil {
			return err
		}
		open = open || c.Slots[i].open()
	}
	if have > 2 && c.Done == open {
		return incoherent("checks of %s in round %d are done, or not, against what they are", e.Peer.Short(), r.Number)
	}
	return nil
}

func increasing(s []uint32) bool {
	for i := 1; i < len(s); i++ {
		if s[i-1] >= s[i] {
			return false
		}
	}
	return true
}

func (m *Machine) coherentSlot(r *round, e *entry, s *slot) error {
	_, drawn := r.drawn(s.Verifier)
	switch {
	case s.State < SlotOwed || s.State > SlotVoid || s.Verifier == e.Peer || s.Since < 0 || s.Since > m.s.Now:
		return incoherent("check of %s in round %d by %s in state %d", e.Peer.Short(), r.Number, s.Verifier.Short(), s.State)
	case len(s.Votes) > protocol.MaxSigners, s.State == SlotOwed && len(s.Votes) > 0,
		(s.State == SlotDisputed || s.State == SlotUndecided) && len(s.Votes) == 0, len(s.Votes) > 0 && !drawn:
		return incoherent("check of %s in round %d, %s with %d votes", e.Peer.Short(), r.Number, s.State, len(s.Votes))
	}
	return nil
}

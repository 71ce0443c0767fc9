package aggregate

import (
	"slices"

	"drystone/protocol"
)

func (s *slot) open() bool { return s.State == SlotOwed || s.State == SlotDisputed }

// startChecks calls the first verifiers of every contribution, once the RevealSet is final. Those that were late in an
// earlier round and not heard of since are passed over, or every round would wait for a dead one; unless all are.
func (m *Machine) startChecks(r *round) {
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Reveal == nil {
			e.Check.Done = true
			continue
		}
		e.Account = m.peer(e.Peer).Payout
		order := m.checkOrder(r, e.Peer)
		want := min(int(m.cfg.Spec.Verify.Checks), len(order))
		for i, v := range order {
			if len(e.Check.Slots) == want {
				break
			}
			if m.away(v) && len(order)-i > want-len(e.Check.Slots) {
				continue
			}
			e.Check.Slots = append(e.Check.Slots, slot{Verifier: v, State: SlotOwed})
			e.Check.Next = uint32(i) + 1
		}
		if want == 0 { // the only aggregator checks nobody but itself
			m.evidence(Evidence{Kind: EvidenceUnchecked, Round: r.Number, Who: e.Peer, First: e.Commit.Digest()})
			e.Check.Done = true
		}
	}
}

func (m *Machine) checkOrder(r *round, id protocol.PeerID) []protocol.PeerID {
	all := make([]protocol.PeerID, len(m.council.Members))
	for i, a := range m.council.Members {
		all[i] = a.ID
	}
	return protocol.CheckOrder(r.statement(protocol.KindRevealSet).Statement.Digest(), id, all)
}

// drawMessage is what the verifiers of a round sign with BLS.
func (m *Machine) drawMessage(r *round) []byte {
	return protocol.DrawMessage(m.cfg.Run, r.Number, r.Frozen, r.statement(protocol.KindRevealSet).Statement.Digest())
}

// checkedRound finds the round of a draw or verdict and refuses those that come before its RevealSet.
func (m *Machine) checkedRound(what string, run protocol.Digest, number uint32) (*round, error) {
	r, err := m.liveRound(what, run, number)
	if err != nil {
		return nil, err
	}
	if r.statement(protocol.KindRevealSet) == nil {
		return nil, refuse(ErrEarly, "%s before the RevealSet of round %d", what, number)
	}
	return r, nil
}

func (m *Machine) draw(s *protocol.Signed[protocol.Draw]) error {
	d := &s.Body
	if err := m.member(d.Verifier); err != nil {
		return err
	}
	r, err := m.checkedRound("draw", d.Run, d.Round)
	if err != nil {
		return err
	}
	i, ok := search(r.Draws, d.Verifier, drawKey)
	switch {
	case ok && r.Draws[i].BLS == d.BLS:
		return refuse(ErrDuplicate, "draw of %s for round %d", d.Verifier.Short(), d.Round)
	case ok:
		return refuse(ErrDiffers, "another draw of %s for round %d", d.Verifier.Short(), d.Round)
	case r.Settled:
		return refuse(ErrLate, "draw of %s for round %d, whose checks are over", d.Verifier.Short(), d.Round)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	a, _ := m.council.Member(d.Verifier)
	if err := m.cfg.VerifyDraw(a.BLS, m.drawMessage(r), d.BLS); err != nil {
		return refuse(ErrInvalid, "draw of %s for round %d: %v", d.Verifier.Short(), d.Round, err)
	}
	r.Draws = slices.Insert(r.Draws, i, draw{Verifier: d.Verifier, BLS: d.BLS})
	m.appendLeaf(RecordDraw, s)
	return nil
}

// drawn returns the seed of a verifier's draw.
func (r *round) drawn(verifier protocol.PeerID) (protocol.Digest, bool) {
	i, ok := search(r.Draws, verifier, drawKey)
	if !ok {
		return protocol.Digest{}, false
	}
	d := protocol.Draw{BLS: r.Draws[i].BLS}
	return d.Seed(), true
}

func (m *Machine) segment(seed protocol.Digest, e *entry) uint32 {
	return protocol.DrawSegment(seed, e.Peer, m.cfg.Spec.Segments(e.Commit.Body.Steps))
}

func (m *Machine) verdict(s *protocol.Signed[protocol.Verdict]) error {
	v := &s.Body
	if err := m.member(v.Verifier); err != nil {
		return err
	}
	r, err := m.checkedRound("verdict", v.Run, v.Round)
	if err != nil {
		return err
	}
	e, sl, err := m.votable(r, s)
	if err != nil {
		return err
	}
	seed, ok := r.drawn(v.Drawer)
	switch {
	case !ok:
		return refuse(ErrEarly, "verdict on %s in round %d before the draw of %s", v.Peer.Short(), v.Round, v.Drawer.Short())
	case v.Segment != m.segment(seed, e):
		return refuse(ErrDiffers, "verdict on segment %d of %s in round %d, the draw gives %d", v.Segment, v.Peer.Short(), v.Round, m.segment(seed, e))
	case v.Outcome < protocol.Passed || v.Outcome > protocol.Malformed:
		return refuse(ErrInvalid, "verdict on %s in round %d with outcome %d", v.Peer.Short(), v.Round, v.Outcome)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	sl.Votes = append(sl.Votes, vote{Verifier: v.Verifier, Outcome: v.Outcome, Digest: s.Digest()})
	if i, ok := search(m.s.Aggregators, v.Verifier, aggregatorKey); ok {
		m.s.Aggregators[i].Checks++
		m.s.Aggregators[i].Away = false
	}
	m.appendLeaf(RecordVerdict, s)
	m.tally(r, e, sl)
	return nil
}

// votable finds the check that a verdict speaks of and decides whether its author has a vote in it now.
func (m *Machine) votable(r *round, s *protocol.Signed[protocol.Verdict]) (*entry, *slot, error) {
	v := &s.Body
	e := r.entry(v.Peer)
	if e == nil || e.Reveal == nil {
		return nil, nil, refuse(ErrDiffers, "verdict on %s, which has no contribution in round %d", v.Peer.Short(), v.Round)
	}
	i := slices.IndexFunc(e.Check.Slots, func(sl slot) bool { return sl.Verifier == v.Drawer })
	if i < 0 && slices.Contains(r.Faulted, v.Drawer) {
		return nil, nil, refuse(ErrLate, "verdict on %s in round %d for %s, whose duty may have passed on", v.Peer.Short(), v.Round, v.Drawer.Short())
	} else if i < 0 {
		return nil, nil, refuse(ErrDiffers, "verdict on %s in round %d for %s, which owes no check of it", v.Peer.Short(), v.Round, v.Drawer.Short())
	}
	sl := &e.Check.Slots[i]
	for _, old := range sl.Votes {
		if old.Verifier == v.Verifier && old.Digest == s.Digest() {
			return nil, nil, refuse(ErrDuplicate, "verdict of %s on %s in round %d", v.Verifier.Short(), v.Peer.Short(), v.Round)
		} else if old.Verifier == v.Verifier {
			return nil, nil, refuse(ErrDiffers, "another verdict of %s on %s in round %d", v.Verifier.Short(), v.Peer.Short(), v.Round)
		}
	}
	switch {
	case !sl.open():
		return nil, nil, refuse(ErrLate, "verdict of %s on %s in round %d: the check is over, %s", v.Verifier.Short(), v.Peer.Short(), v.Round, sl.State)
	case v.Verifier == v.Peer:
		return nil, nil, refuse(ErrInvalid, "verdict of %s on itself", v.Peer.Short())
	case sl.State == SlotOwed && v.Verifier != v.Drawer:
		return nil, nil, refuse(ErrEarly, "verdict of %s on %s in round %d before that of %s", v.Verifier.Short(), v.Peer.Short(), v.Round, v.Drawer.Short())
	}
	return e, sl, nil
}

// tally moves a check on after a vote. One failed verdict convicts nobody: t must agree. One that more than n-t
// contradict can find no t any more.
func (m *Machine) tally(r *round, e *entry, sl *slot) {
	passed := 0
	for _, v := range sl.Votes {
		if v.Outcome == protocol.Passed {
			passed++
		}
	}
	failed := len(sl.Votes) - passed
	switch n, t := len(m.council.Members), m.threshold(); {
	case failed == 0:
		sl.State = SlotPassed
	case failed >= t && m.spared(r, e, sl):
		sl.State = SlotWithheld
		m.absent(r, e)
	case failed >= t:
		sl.State = SlotRefuted
		m.refute(r, e, sl)
	case passed > n-t:
		sl.State = SlotCleared
	case sl.State == SlotOwed:
		sl.State, sl.Since = SlotDisputed, 0
	}
	if sl.State == SlotRefuted || sl.State == SlotCleared {
		for _, v := range sl.Votes {
			if (v.Outcome == protocol.Passed) == (sl.State == SlotRefuted) {
				m.fault(FaultOutvoted, v.Verifier, r.Number, e.Peer)
			}
		}
	}
	e.Check.conclude()
}

// conclude ends the check of a contribution when all its slots have ended.
func (c *check) conclude() {
	c.Done = !slices.ContainsFunc(c.Slots, func(s slot) bool { return s.open() })
}

// refute convicts a contributor. What that does to the roster follows at the opening of round r+W.
func (m *Machine) refute(r *round, e *entry, sl *slot) {
	e.Check.Refuted = true
	for i := range e.Check.Slots {
		if e.Check.Slots[i].open() {
			e.Check.Slots[i].State = SlotVoid
		}
	}
	p := m.peer(e.Peer)
	if !p.Convicted || r.Number < p.Refuted {
		p.Convicted, p.Refuted = true, r.Number
	}
	seed, _ := r.drawn(sl.Verifier)
	m.fx.Convicted = append(m.fx.Convicted, Conviction{Round: r.Number, Peer: e.Peer, Drawer: sl.Verifier, Segment: m.segment(seed, e)})
}

func (m *Machine) fault(k FaultKind, id protocol.PeerID, round uint32, peer protocol.PeerID) {
	if i, ok := search(m.s.Aggregators, id, aggregatorKey); ok {
		m.s.Aggregators[i].Faults++
	}
	m.fx.Faults = append(m.fx.Faults, Fault{Kind: k, Aggregator: id, Round: round, Peer: peer})
}

// away reports whether an aggregator was late and not heard of since.
func (m *Machine) away(id protocol.PeerID) bool {
	i, ok := search(m.s.Aggregators, id, aggregatorKey)
	return ok && m.s.Aggregators[i].Away
}

func (m *Machine) setAway(id protocol.PeerID, away bool) {
	if i, ok := search(m.s.Aggregators, id, aggregatorKey); ok {
		m.s.Aggregators[i].Away = away
	}
}

// late records that a verifier missed a deadline in this round; no duty passes on to it any more.
func (m *Machine) late(k FaultKind, id protocol.PeerID, r *round, peer protocol.PeerID) {
	m.fault(k, id, r.Number, peer)
	m.setAway(id, true)
	if !slices.Contains(r.Faulted, id) {
		r.Faulted = append(r.Faulted, id)
	}
}

// tickChecks starts the timers of a round's checks and ends those that are overdue. All faults come before any duty
// passes on, so that none passes to a verifier that is late in the same moment.
func (m *Machine) tickChecks(r *round) {
	limit := m.cfg.Spec.Deadlines.CheckFor().Milliseconds()
	type place struct{ entry, slot int }
	var overdue []place
	for i := range r.Entries {
		e := &r.Entries[i]
		for j := range e.Check.Slots {
			sl := &e.Check.Slots[j]
			if !sl.open() {
				continue
			}
			if sl.Since == 0 {
				sl.Since = m.s.Now
			}
			if sl.Since+limit > m.s.Now {
				continue
			}
			overdue = append(overdue, place{i, j})
			if sl.State == SlotOwed {
				m.late(FaultLateCheck, sl.Verifier, r, e.Peer)
			} else {
				m.lateConfirmations(r, e, sl)
			}
		}
	}
	for _, p := range overdue {
		e := &r.Entries[p.entry]
		m.overdue(r, e, &e.Check.Slots[p.slot])
		e.Check.conclude()
	}
}

func (m *Machine) lateConfirmations(r *round, e *entry, sl *slot) {
	for _, a := range m.council.Members {
		voted := slices.ContainsFunc(sl.Votes, func(v vote) bool { return v.Verifier == a.ID })
		if !voted && a.ID != e.Peer {
			m.late(FaultLateConfirm, a.ID, r, e.Peer)
		}
	}
}

// overdue passes an owed check on to the next verifier that was not late in this round. A dispute that found no majority
// in time leaves the contribution standing, on record.
func (m *Machine) overdue(r *round, e *entry, sl *slot) {
	ev := Evidence{Round: r.Number, Who: e.Peer, First: e.Commit.Digest()}
	if sl.State == SlotDisputed {
		sl.State = SlotUndecided
		ev.Kind, ev.Second = EvidenceUndecided, sl.Votes[0].Digest
		m.evidence(ev)
		return
	}
	order := m.checkOrder(r, e.Peer)
	for int(e.Check.Next) < len(order) {
		next := order[e.Check.Next]
		e.Check.Next++
		if !slices.Contains(r.Faulted, next) {
			*sl = slot{Verifier: next, State: SlotOwed}
			return
		}
	}
	sl.State = SlotUnchecked
	ev.Kind = EvidenceUnchecked
	m.evidence(ev)
}

// stands reports whether a contribution is paid: it was merged, not refuted, at least one check of it was answered, and none
// found it withheld.
func (e *entry) stands() bool {
	answered := slices.ContainsFunc(e.Check.Slots, func(s slot) bool {
		return s.State == SlotPassed || s.State == SlotCleared || s.State == SlotUndecided
	})
	return e.Reveal != nil && !e.Check.Refuted && answered && !e.withheld()
}

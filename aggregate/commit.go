package aggregate

import (
	"slices"

	"drystone/protocol"
)

// liveRound finds the round that a message speaks of.
func (m *Machine) liveRound(what string, run protocol.Digest, number uint32) (*round, error) {
	if err := m.ofRun(run); err != nil {
		return nil, err
	}
	r := m.round(number)
	switch {
	case r != nil:
		return r, nil
	case number >= m.s.Round:
		return nil, refuse(ErrEarly, "%s for round %d, which is not open", what, number)
	}
	return nil, refuse(ErrLate, "%s for round %d, which is over", what, number)
}

func (m *Machine) commit(s *protocol.Signed[protocol.Commit]) error {
	c := &s.Body
	r, err := m.liveRound("commit", c.Run, c.Round)
	if err != nil {
		return err
	}
	e := r.entry(c.Peer)
	if e == nil {
		return refuse(ErrInvalid, "commit of %s, which is not in the roster of round %d", c.Peer.Short(), c.Round)
	}
	if e.Commit != nil {
		return m.secondCommit(e, s)
	}
	switch {
	case c.Round != m.s.Round || m.s.Phase != PhaseTrain:
		return refuse(ErrLate, "commit of %s for round %d, whose Freeze is fixed", c.Peer.Short(), c.Round)
	case c.Open != m.s.Head.Statement.Digest():
		return refuse(ErrDiffers, "commit of %s answers Open %s, round %d has another", c.Peer.Short(), c.Open.Short(), c.Round)
	case m.cfg.Spec.Train.Delay > 0 && !m.peer(c.Peer).Active:
		return refuse(ErrLate, "commit of %s, which was announced for round %d and is out since then", c.Peer.Short(), c.Round)
	case c.Steps < 1 || c.Steps > m.cfg.Spec.Train.Steps:
		return refuse(ErrInvalid, "commit of %s to %d steps, want 1 to %d", c.Peer.Short(), c.Steps, m.cfg.Spec.Train.Steps)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	e.Commit = s
	m.appendLeaf(RecordCommit, s)
	return nil
}

// secondCommit records, once, that a peer signed two commits of a round. The second becomes a leaf as evidence; the
// first counts.
func (m *Machine) secondCommit(e *entry, s *protocol.Signed[protocol.Commit]) error {
	first, second := e.Commit.Digest(), s.Digest()
	if first == second {
		return refuse(ErrDuplicate, "commit of %s for round %d", e.Peer.Short(), s.Body.Round)
	}
	if e.Double {
		return refuse(ErrDiffers, "another commit of %s for round %d", e.Peer.Short(), s.Body.Round)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	e.Double = true
	m.evidence(Evidence{Kind: EvidenceDoubleCommit, Round: s.Body.Round, Who: e.Peer, First: first, Second: second})
	m.appendLeaf(RecordCommit, s)
	return nil
}

func (m *Machine) attest(s *protocol.Signed[protocol.Attest]) error {
	a := &s.Body
	if err := m.member(a.Aggregator); err != nil {
		return err
	}
	r, err := m.liveRound("attest", a.Run, a.Round)
	if err != nil {
		return err
	}
	e := r.entry(a.Peer)
	if e == nil || e.Commit == nil || e.Commit.Digest() != a.Commit {
		return refuse(ErrDiffers, "attest to a commit of %s that round %d does not have", a.Peer.Short(), a.Round)
	}
	v := attestation{Aggregator: a.Aggregator, Reveal: reveal{Start: a.Start, End: a.End}, Shards: a.Shards}
	i, ok := search(e.Attests, a.Aggregator, attestKey)
	if err := m.attestedShards(r, e, a); err != nil {
		return err
	}
	more := ok && e.Attests[i].Reveal == v.Reveal && !e.Attests[i].holds(v.Shards)
	switch {
	case more:
	case ok && e.Attests[i].Reveal == v.Reveal:
		return refuse(ErrDuplicate, "attest of %s to %s in round %d", a.Aggregator.Short(), a.Peer.Short(), a.Round)
	case ok:
		return refuse(ErrDiffers, "another attest of %s to %s in round %d", a.Aggregator.Short(), a.Peer.Short(), a.Round)
	}
	switch {
	case a.Round == m.s.Round && m.s.Phase < PhaseReveal:
		return refuse(ErrEarly, "attest to %s before the Freeze of round %d", a.Peer.Short(), a.Round)
	case a.Round != m.s.Round || m.s.Phase != PhaseReveal:
		return refuse(ErrLate, "attest to %s in round %d, whose RevealSet is fixed", a.Peer.Short(), a.Round)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	if more {
		e.Attests[i].Shards = union(e.Attests[i].Shards, v.Shards)
	} else {
		e.Attests = slices.Insert(e.Attests, i, v)
	}
	m.setAway(a.Aggregator, false)
	m.resolve(r, e, v.Reveal)
	return nil
}

// resolve decides a contribution once t aggregators attest to the same roots, for every shard. One that does not stand on the round's
// model and the peer's own last revealed error feedback is not merged, and counts as not revealed.
func (m *Machine) resolve(r *round, e *entry, v reveal) {
	if e.Reveal != nil || e.Bad || !m.heldByQuorum(r, e, v) {
		return
	}
	if v.Start.Model == m.startOf(r) && v.Start.Feedback == m.lastFeedback(e.Peer) {
		e.Reveal = &v
	} else {
		e.Bad = true
	}
}

// lastFeedback is the error feedback root that a peer's contribution to this round must stand on.
func (m *Machine) lastFeedback(id protocol.PeerID) protocol.Digest {
	if m.s.Round > 0 {
		if r := m.round(m.s.Round - 1); r != nil {
			if e := r.entry(id); e != nil && e.Reveal != nil {
				return e.Reveal.End.Feedback
			}
		}
	}
	return protocol.Digest{}
}

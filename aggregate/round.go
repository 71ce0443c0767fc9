package aggregate

import (
	"slices"

	"drystone/protocol"
)

// advance makes every transition that the state now allows.
func (m *Machine) advance() {
	for m.step() {
	}
	m.settleRounds()
	m.prune()
	// A round that settled may have opened the gate of the next.
	for m.step() {
	}
}

// step makes one transition of the round and reports whether it did.
func (m *Machine) step() bool {
	switch m.s.Phase {
	case PhaseWaiting, PhasePaused:
		return m.between()
	case PhaseTrain:
		return m.fixFreeze(false)
	case PhaseReveal:
		return m.fixRevealSet(false)
	case PhaseOpening, PhaseFreezing, PhaseRevealing, PhaseMerge, PhaseChanging, PhaseEnding:
		return m.conclude()
	case PhaseDraining:
		return m.finish()
	}
	return false
}

// phaseOver is called when the deadline of the phase, or of the owners of shards in it, has passed.
func (m *Machine) phaseOver() {
	switch {
	case m.s.Phase == PhaseMerge:
		m.passOverMerge()
		return
	case m.s.Phase == PhaseReveal && !m.s.Extended && m.owned(m.round(m.s.Round)):
		m.passOverGather()
		m.s.Extended = true
		return
	case m.s.Phase == PhaseReveal:
		m.fixRevealSet(true)
		return
	}
	committed := slices.ContainsFunc(m.round(m.s.Round).Entries, func(e entry) bool { return e.Commit != nil })
	if !committed && !m.s.Extended {
		m.s.Extended, m.s.Since = true, m.s.Now
		return
	}
	m.fixFreeze(true)
}

// fixOpen fixes the roster once enough peers are there and every check of round r-W has ended. Peers refuted in round
// r-W or before leave the roster here.
func (m *Machine) fixOpen() bool {
	r, w := m.s.Round, m.cfg.Spec.Verify.Window
	if r >= w {
		if old := m.round(r - w); old != nil && !old.Settled {
			return false
		}
	}
	out := func(p *peer) bool { return p.Convicted && uint64(p.Refuted)+uint64(w) <= uint64(r) }
	roster, capacity, partial := []protocol.PeerID{}, []uint32{}, false
	for i := range m.s.Peers {
		if p := &m.s.Peers[i]; p.Active && !out(p) {
			roster, capacity = append(roster, p.ID), append(capacity, p.Shards)
			partial = partial || p.Shards > 0
		}
	}
	if !partial {
		capacity = nil
	}
	need := m.cfg.Spec.Aggregate.MinPeers
	if m.s.Round == 0 {
		need = max(need, m.cfg.Spec.Aggregate.StartPeers)
	}
	if len(roster) < int(need) {
		return false
	}
	for i := range m.s.Peers {
		if p := &m.s.Peers[i]; out(p) {
			p.Active = false
		}
	}
	m.probation(r)
	propose(m, m.opening(roster, capacity))
	m.enter(PhaseOpening)
	return true
}

// fixFreeze closes the commits when every rostered peer that has not left committed, or when time is over.
func (m *Machine) fixFreeze(over bool) bool {
	commits, leaves := []protocol.Frozen{}, []protocol.Digest{}
	r := m.round(m.s.Round)
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Commit == nil {
			if !over && m.peer(e.Peer).Active {
				return false
			}
			continue
		}
		d := e.Commit.Digest()
		commits = append(commits, protocol.Frozen{Peer: e.Peer, Commit: d})
		leaves = append(leaves, protocol.FrozenLeaf(d))
	}
	r.Frozen = protocol.RootOf(leaves)
	propose(m, protocol.Freeze{Root: r.Frozen, Commits: commits})
	m.enter(PhaseFreezing)
	return true
}

// fixRevealSet closes the attests when each frozen commit has t equal ones, or when time is over.
func (m *Machine) fixRevealSet(over bool) bool {
	set := []protocol.Revealed{}
	r := m.round(m.s.Round)
	for i := range r.Entries {
		e := &r.Entries[i]
		switch {
		case e.Reveal != nil:
			set = append(set, e.revealed())
		case e.Commit != nil && !e.Bad && !over:
			return false
		}
	}
	propose(m, protocol.RevealSet{Set: set})
	m.enter(PhaseRevealing)
	return true
}

// revealed is an entry's line in the RevealSet; it has a Reveal.
func (e *entry) revealed() protocol.Revealed {
	return protocol.Revealed{Peer: e.Peer, Commit: e.Commit.Digest(), Steps: e.Commit.Body.Steps, Payload: e.Reveal.End.Payload,
		Feedback: e.Reveal.End.Feedback}
}

// conclude makes the statement under signature final once it has its quorum, and enters the phase that follows it.
func (m *Machine) conclude() bool {
	b := m.quorum()
	if b == nil || m.s.Phase == PhaseChanging && !m.turned() {
		return false
	}
	final := *b.signed()
	switch final.Statement.Kind {
	case protocol.KindCouncil:
		m.changeCouncil(&final)
		return true
	case protocol.KindEnd:
		m.endRun(&final)
		return true
	}
	if final.Statement.Kind == protocol.KindOpen {
		m.openRound(&final)
	}
	r := m.round(m.s.Round)
	r.Statements = append(r.Statements, final)
	m.finalize(final)
	switch final.Statement.Kind {
	case protocol.KindOpen:
		m.enter(PhaseTrain)
	case protocol.KindFreeze:
		m.enter(PhaseReveal)
	case protocol.KindRevealSet:
		m.countMisses(r)
		m.startChecks(r)
		m.enter(PhaseMerge)
		if m.emptySet() {
			propose(m, m.unchanged([]protocol.Merged{}))
		} else if m.owned(r) {
			m.startParts(r)
		}
	case protocol.KindCertificate:
		m.closeRound(&final.Statement)
	}
	return true
}

func (m *Machine) openRound(s *protocol.SignedStatement) {
	body, err := protocol.DecodeBody[protocol.Open](&s.Statement)
	if err != nil {
		return // the machine made this body itself
	}
	r := round{Number: m.s.Round, Capacity: body.Capacity}
	for _, id := range body.Roster {
		r.Entries = append(r.Entries, entry{Peer: id})
	}
	m.s.Rounds = append(m.s.Rounds, r)
}

func (m *Machine) closeRound(s *protocol.Statement) {
	cert, err := protocol.DecodeBody[protocol.Certificate](s)
	if err != nil {
		return // checkCertificate decoded it
	}
	m.s.Model, m.s.Outer = cert.Model, cert.Outer
	m.round(m.s.Round).Parts = nil
	m.s.Round++
	if m.s.Round < m.rounds() {
		m.enter(PhaseWaiting)
	} else {
		m.enter(PhaseDraining)
	}
	m.targetCheckpoint()
}

// finish ends the run after the last settlement.
func (m *Machine) finish() bool {
	if n := m.rounds(); n > 0 && m.s.Pay.Settled < m.epochOf(n-1) {
		return false // a run that was stopped before its first round owes nothing
	}
	m.enter(PhaseFinished)
	return true
}

// prune forgets rounds whose checks have ended and whose RevealSet the current round no longer stands on.
func (m *Machine) prune() {
	m.s.Rounds = slices.DeleteFunc(m.s.Rounds, func(r round) bool { return r.Settled && r.Number+1 < m.s.Round })
	m.forgetTold()
}

package aggregate

import (
	"slices"

	"drystone/protocol"
)

// An opening that never comes may hide a lie, or a machine whose lid is closed. Where the RunSpec grants grace, a quorum of
// failed verdicts of which no more than f found anything false does not refute: the contribution is withheld. It is not
// paid, and the peer is on probation from the opening of round r+W on. Withheld contributions of fewer than W rounds are one
// absence: round r+W opens when the checks of round r have ended, so rounds further apart are always decided in order,
// and what is one absence does not depend on timing. A second absence refutes, like a lie.

// spared reports whether a failed check is the contributor's absence, and its first.
func (m *Machine) spared(r *round, e *entry, sl *slot) bool {
	if !m.cfg.Spec.Verify.Grace || m.lies(sl) {
		return false
	}
	p := m.peer(e.Peer)
	return !p.Convicted && (p.Refuted == 0 || apart(p.Refuted-1, r.Number) < m.cfg.Spec.Verify.Window)
}

// lies reports whether an honest verifier among those who failed a check found something false: more than may lie say so.
func (m *Machine) lies(sl *slot) bool {
	found := 0
	for _, v := range sl.Votes {
		if v.Outcome != protocol.Passed && v.Outcome != protocol.Withheld {
			found++
		}
	}
	return found > m.council.Quorum().Faults()
}

// absent notes a withheld contribution. In a peer that is not convicted Refuted is one more than the first round of its
// absence.
func (m *Machine) absent(r *round, e *entry) {
	p := m.peer(e.Peer)
	if p.Refuted == 0 || r.Number < p.Refuted-1 {
		p.Refuted = r.Number + 1
	}
	m.evidence(Evidence{Kind: EvidenceWithheld, Round: r.Number, Who: e.Peer, First: e.Commit.Digest()})
}

// probation lets those whose absence began W rounds before the round that opens miss no other.
func (m *Machine) probation(opening uint32) {
	for i := range m.s.Peers {
		p := &m.s.Peers[i]
		if !p.Convicted && p.Refuted > 0 && uint64(p.Refuted-1)+uint64(m.cfg.Spec.Verify.Window) == uint64(opening) {
			p.Misses = max(p.Misses, maxMisses-1)
		}
	}
}

// withheld reports whether a check found the contribution withheld.
func (e *entry) withheld() bool {
	return slices.ContainsFunc(e.Check.Slots, func(s slot) bool { return s.State == SlotWithheld })
}

func apart(a, b uint32) uint32 { return max(a, b) - min(a, b) }

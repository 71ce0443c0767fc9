package aggregate

import (
	"slices"

	"drystone/protocol"
)

// Phase returns the phase without copying the state.
func (m *Machine) Phase() Phase { return m.s.Phase }

// LastSettled returns the latest settled epoch, nil for none. It must not be changed.
func (m *Machine) LastSettled() *SettledEpoch { return m.s.Pay.Last }

// LastEpoch returns the number of the run's last epoch, 0 for a run without a round, once no round follows any more. It is
// settled when the phase is PhaseFinished.
func (m *Machine) LastEpoch() (epoch uint64, over bool) {
	if m.s.Phase < PhaseDraining {
		return 0, false
	}
	if n := m.rounds(); n > 0 {
		epoch = m.epochOf(n - 1)
	}
	return epoch, true
}

// Newcomer returns who comes in by the change of the council that is pending.
func (m *Machine) Newcomer() (protocol.PeerID, bool) {
	if c := m.s.Orders.Change; c != nil && len(c.Body.Add) > 0 {
		return c.Body.Add[0].Body.Aggregator.ID, true
	}
	return protocol.PeerID{}, false
}

// Commits returns the commits of a live round, ascending by peer; none for a round that is not live.
func (m *Machine) Commits(number uint32) []protocol.Signed[protocol.Commit] {
	var out []protocol.Signed[protocol.Commit]
	for i := range m.s.Rounds {
		if m.s.Rounds[i].Number != number {
			continue
		}
		for _, e := range m.s.Rounds[i].Entries {
			if e.Commit != nil {
				out = append(out, *e.Commit)
			}
		}
	}
	return out
}

// Commit returns the commit of a peer to the newest live round.
func (m *Machine) Commit(p protocol.PeerID) (protocol.Signed[protocol.Commit], bool) {
	if len(m.s.Rounds) == 0 {
		return protocol.Signed[protocol.Commit]{}, false
	}
	r := m.s.Rounds[len(m.s.Rounds)-1]
	i := slices.IndexFunc(r.Entries, func(e entry) bool { return e.Peer == p && e.Commit != nil })
	if i < 0 {
		return protocol.Signed[protocol.Commit]{}, false
	}
	return *r.Entries[i].Commit, true
}

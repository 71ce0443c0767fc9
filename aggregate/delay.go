package aggregate

import "drystone/protocol"

// opening is the Open of the current round. present are those who are there, with their capacities. With a delay they train
// the next round; this one is for those whom the Open before announced, and who have trained it since then from the state
// that was the newest at that time.
func (m *Machine) opening(present []protocol.PeerID, capacity []uint32) protocol.Open {
	open := protocol.Open{Model: m.s.Model, Outer: m.s.Outer, Roster: present, Capacity: capacity}
	if m.cfg.Spec.Train.Delay == 0 {
		return open
	}
	open.Start = m.s.Model
	if m.s.Round+1 < m.rounds() {
		for i, id := range present {
			a := protocol.Ahead{Peer: id}
			if len(capacity) > 0 {
				a.Shards = capacity[i]
			}
			open.Ahead = append(open.Ahead, a)
		}
	}
	if m.s.Round == 0 {
		return open
	}
	if before := m.opened(m.round(m.s.Round - 1)); before != nil {
		open.Start = before.Model
		open.Roster, open.Capacity = before.Next()
	}
	return open
}

// opened returns the Open of a round, nil if it has none.
func (m *Machine) opened(r *round) *protocol.Open {
	if r == nil {
		return nil
	}
	s := r.statement(protocol.KindOpen)
	if s == nil {
		return nil
	}
	open, err := protocol.DecodeBody[protocol.Open](&s.Statement)
	if err != nil {
		return nil // the machine made this body itself
	}
	return open
}

// startOf returns the root of the parameters that the current round trains from.
func (m *Machine) startOf(r *round) protocol.Digest {
	if m.cfg.Spec.Train.Delay == 0 {
		return m.s.Model
	}
	if open := m.opened(r); open != nil {
		return open.From()
	}
	return protocol.Digest{}
}

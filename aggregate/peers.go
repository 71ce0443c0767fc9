package aggregate

import (
	"slices"

	"drystone/protocol"
)

// maxPeers bounds the peers that a run remembers: their nonces must outlive their stay.
const maxPeers = 1 << 14

// maxMisses is M: a peer without a revealed contribution in this many consecutive rounds is dropped until it joins again.
const maxMisses = 2

func (m *Machine) join(s *protocol.Signed[protocol.Join]) error {
	j := &s.Body
	p := m.peer(j.Peer)
	if err := m.fresh(p, j.Run, j.Peer, j.Nonce, s.Digest()); err != nil {
		return err
	}
	switch {
	case m.s.Phase >= PhaseEnding:
		return refuse(ErrLate, "join of %s: the last round is over", j.Peer.Short())
	case j.Payout == protocol.Address{}:
		return refuse(ErrInvalid, "join of %s: the payout address is zero", j.Peer.Short())
	case !m.admits(j.Shards):
		return refuse(ErrInvalid, "join of %s with %d shards: want 0 for all %d, or at least train.min_shards = %d of them", j.Peer.Short(), j.Shards, m.shards(), m.cfg.Spec.Train.MinShards)
	case p != nil && p.Convicted:
		return refuse(ErrLate, "join of %s: its contribution to round %d was refuted, it is out of this run", j.Peer.Short(), p.Refuted)
	case p == nil && len(m.s.Peers) >= maxPeers:
		return refuse(ErrEarly, "join of %s: the run knows %d peers already", j.Peer.Short(), maxPeers)
	case (p == nil || !p.Active) && m.active() >= protocol.MaxRoster:
		return refuse(ErrEarly, "join of %s: the roster is full with %d peers", j.Peer.Short(), protocol.MaxRoster)
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	if p == nil {
		i, _ := search(m.s.Peers, j.Peer, peerKey)
		m.s.Peers = slices.Insert(m.s.Peers, i, peer{ID: j.Peer})
		p = &m.s.Peers[i]
	}
	p.Payout, p.Nonce, p.Last, p.Active, p.Shards = j.Payout, j.Nonce, s.Digest(), true, j.Shards
	p.Misses = min(p.Misses, maxMisses-1) // probation: one more miss drops it again
	m.appendLeaf(RecordJoin, s)
	return nil
}

func (m *Machine) shards() int { return m.cfg.Spec.Codec.Shards(m.cfg.Params) }

// admits reports whether a peer may declare that it can train so many shards.
func (m *Machine) admits(shards uint32) bool {
	least := m.cfg.Spec.Train.MinShards
	return shards == 0 || least > 0 && shards >= least && int64(shards) < int64(m.shards())
}

func (m *Machine) leave(s *protocol.Signed[protocol.Leave]) error {
	l := &s.Body
	p := m.peer(l.Peer)
	if err := m.fresh(p, l.Run, l.Peer, l.Nonce, s.Digest()); err != nil {
		return err
	}
	if p == nil {
		return refuse(ErrEarly, "leave of %s, which never joined", l.Peer.Short())
	}
	if err := s.Verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	p.Nonce, p.Last, p.Active = l.Nonce, s.Digest(), false
	m.appendLeaf(RecordLeave, s)
	return nil
}

// fresh checks that a Join or Leave is newer than the last one of its peer.
func (m *Machine) fresh(p *peer, run protocol.Digest, id protocol.PeerID, nonce uint64, d protocol.Digest) error {
	if err := m.ofRun(run); err != nil {
		return err
	}
	last := uint64(0)
	if p != nil {
		last = p.Nonce
		if p.Last == d {
			return refuse(ErrDuplicate, "join or leave of %s with nonce %d", id.Short(), nonce)
		}
	}
	if nonce <= last {
		return refuse(ErrLate, "join or leave of %s with nonce %d, want more than %d", id.Short(), nonce, last)
	}
	return nil
}

func (m *Machine) active() (n int) {
	for i := range m.s.Peers {
		if m.s.Peers[i].Active {
			n++
		}
	}
	return n
}

// countMisses settles after a RevealSet who took part in the round.
func (m *Machine) countMisses(r *round) {
	for i := range r.Entries {
		e := &r.Entries[i]
		p := m.peer(e.Peer)
		if e.Reveal != nil {
			p.Misses = 0
			p.Merged++
			continue
		}
		p.Misses++
		if p.Misses >= maxMisses {
			p.Active = false
		}
	}
}

package aggregate

import (
	"slices"

	"drystone/protocol"
)

// Shards have owners in rounds for which RunSpec.Owners asks for fewer than all aggregators. Ownership says who has a
// duty, and no more: an attest, a Partial or a ShardCertificate counts whoever gives it, and t equal ones decide. So safety
// does not depend on who owns what, and an aggregator that takes over needs nobody's leave.

// owned reports whether the shards of a round have owners.
func (m *Machine) owned(r *round) bool { return m.ownersOf(r) < len(m.council.Members) }

// ownersOf is how many aggregators own each shard of a round.
func (m *Machine) ownersOf(r *round) int {
	if !m.cfg.Ownership {
		return len(m.council.Members)
	}
	return m.cfg.Spec.Owners(m.council.Quorum(), m.cfg.Params, len(r.Entries))
}

// votes is what has been said about a shard: by whom, and how many say the same at most.
type votes struct {
	has  func(id protocol.PeerID) bool
	best int
}

// owners returns who owns a shard now: the first in its order that are not away, and if these are too few, those that are.
// Where the words of those are split so that t equal ones can no longer come together, the next in order join them.
func (m *Machine) owners(r *round, shard int, v votes) []protocol.PeerID {
	if m.ordersOf != m.council {
		all := make([]protocol.PeerID, len(m.council.Members))
		for i, a := range m.council.Members {
			all[i] = a.ID
		}
		m.orders, m.ordersOf = make([][]protocol.PeerID, m.shards()), m.council
		for k := range m.orders {
			m.orders[k] = protocol.OwnerOrder(m.cfg.Run, uint32(k), all)
		}
	}
	var here, away []protocol.PeerID
	for _, id := range m.orders[shard] {
		if m.away(id) {
			away = append(away, id)
		} else {
			here = append(here, id)
		}
	}
	order, n, open := append(here, away...), m.ownersOf(r), 0
	for i, id := range order {
		if i >= n && v.best+open >= m.threshold() {
			return order[:i]
		}
		if !v.has(id) {
			open++
		}
	}
	return order
}

// attested are the votes on one shard of a contribution.
func (m *Machine) attested(e *entry, shard int) votes {
	v := votes{has: func(id protocol.PeerID) bool {
		at, ok := search(e.Attests, id, attestKey)
		return ok && e.Attests[at].holdsShard(uint32(shard))
	}}
	for _, a := range e.Attests {
		equal := 0
		for j := range e.Attests {
			if b := &e.Attests[j]; b.Reveal == a.Reveal && b.holdsShard(uint32(shard)) {
				equal++
			}
		}
		v.best = max(v.best, equal)
	}
	return v
}

// assignedTo reports whether the i-th rostered peer trains a shard.
func (m *Machine) assignedTo(r *round, i, shard int) bool {
	_, own := protocol.PlaceOf(m.assigned(r, i), shard)
	return own
}

// missing returns the shards of the i-th rostered peer's contribution that an aggregator owns and has not attested to.
func (m *Machine) missing(r *round, i int, self protocol.PeerID) []uint32 {
	var own []uint32
	for k := range m.shards() {
		if !m.assignedTo(r, i, k) {
			continue
		}
		if v := m.attested(&r.Entries[i], k); !v.has(self) && slices.Contains(m.owners(r, k, v), self) {
			own = append(own, uint32(k))
		}
	}
	return own
}

func (a *attestation) holdsShard(shard uint32) bool {
	if len(a.Shards) == 0 {
		return true
	}
	_, ok := slices.BinarySearch(a.Shards, shard)
	return ok
}

// holds reports whether an attest to these shards, none for all, says nothing new.
func (a *attestation) holds(shards []uint32) bool {
	if len(a.Shards) == 0 || len(shards) == 0 {
		return len(a.Shards) == 0
	}
	return !slices.ContainsFunc(shards, func(s uint32) bool { return !a.holdsShard(s) })
}

// union of two ascending lists, where an empty one means all.
func union(a, b []uint32) []uint32 {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// attestedShards checks the shards that an attest names: some of those assigned, ascending, and not all, which has a form
// of its own; none where shards have no owners.
func (m *Machine) attestedShards(r *round, e *entry, a *protocol.Attest) error {
	if len(a.Shards) == 0 {
		return nil
	}
	at, _ := search(r.Entries, e.Peer, entryKey)
	assigned := m.assigned(r, at)
	ok := m.owned(r) && len(a.Shards) < m.cfg.Spec.Codec.Owed(m.cfg.Params, assigned)
	for i, s := range a.Shards {
		_, own := protocol.PlaceOf(assigned, int(s))
		ok = ok && own && int64(s) < int64(m.shards()) && (i == 0 || a.Shards[i-1] < s)
	}
	if !ok {
		return refuse(ErrInvalid, "attest of %s to shards %v of %s in round %d", a.Aggregator.Short(), a.Shards, a.Peer.Short(), a.Round)
	}
	return nil
}

// heldByQuorum reports whether t aggregators attest to the same roots, for each shard of a contribution.
func (m *Machine) heldByQuorum(r *round, e *entry, v reveal) bool {
	var equal []*attestation
	for i := range e.Attests {
		if e.Attests[i].Reveal == v {
			equal = append(equal, &e.Attests[i])
		}
	}
	if len(equal) < m.threshold() || !m.owned(r) {
		return len(equal) >= m.threshold()
	}
	at, _ := search(r.Entries, e.Peer, entryKey)
	for k := range m.shards() {
		if m.assignedTo(r, at, k) && holders(equal, k) < m.threshold() {
			return false
		}
	}
	return true
}

func holders(attests []*attestation, shard int) int {
	n := 0
	for _, a := range attests {
		if a.holdsShard(uint32(shard)) {
			n++
		}
	}
	return n
}

// passOverGather marks as away those owners that did not attest to a shard which another aggregator holds: the contributor
// has revealed it, so they are late, and the next in order own their shards from now on.
func (m *Machine) passOverGather() {
	r := m.round(m.s.Round)
	var late []protocol.PeerID
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Commit == nil || e.Reveal != nil || e.Bad {
			continue
		}
		for k := range m.shards() {
			v := m.attested(e, k)
			if v.best == 0 || !m.assignedTo(r, i, k) {
				continue
			}
			for _, id := range m.owners(r, k, v) {
				if !v.has(id) {
					late = append(late, id)
				}
			}
		}
	}
	m.lateOwners(r, late)
}

// lateOwners passes aggregators over until they are heard of again.
func (m *Machine) lateOwners(r *round, late []protocol.PeerID) {
	slices.SortFunc(late, func(a, b protocol.PeerID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range slices.Compact(late) {
		m.fault(FaultLateShard, id, r.Number, protocol.PeerID{})
		m.setAway(id, true)
	}
}

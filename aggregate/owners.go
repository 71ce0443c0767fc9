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

// rank computes the order in which every shard falls to the council, as places in it: once for each council, since
// duties are derived with every record, and by many readers at a time.
func (m *Machine) rank() {
	m.orders = nil
	if !m.cfg.Ownership || m.cfg.Spec.Owners(m.council.Quorum(), m.cfg.Params, 0) == len(m.council.Members) {
		return
	}
	ids := make([]protocol.PeerID, len(m.council.Members))
	for i, a := range m.council.Members {
		ids[i] = a.ID
	}
	m.orders = make([][]uint8, m.shards())
	for k := range m.orders {
		for _, id := range protocol.OwnerOrder(m.cfg.Run, uint32(k), ids) {
			m.orders[k] = append(m.orders[k], uint8(slices.Index(ids, id)))
		}
	}
}

// ownership is who owns what in a round as the state stands.
type ownership struct {
	m     *Machine
	n     int                  // owners of each shard, if all of them are there
	rush  bool                 // half of the reveal phase is over
	away  []bool               // by place in the council
	spans []protocol.ShardSpan // by place in the roster
}

func (m *Machine) ownership(r *round) *ownership {
	o := &ownership{m: m, n: m.ownersOf(r), rush: m.s.Phase == PhaseReveal && m.s.Extended, away: make([]bool, len(m.council.Members)), spans: m.spans(r)}
	for i, a := range m.council.Members {
		o.away[i] = m.away(a.ID)
	}
	return o
}

// of returns who owns a shard: the first in its order that are not away, and if these are too few, those that are. Where
// the words of those are split so that t equal ones can no longer come together, the next in order join them. In the second
// half of the reveal phase everyone owns a shard that more than f hold and fewer than t: the next in order may be dead as
// well, and there is no time to find that out one after the other.
func (o *ownership) of(shard int, v votes) []protocol.PeerID {
	if shard >= len(o.m.orders) {
		return nil // not of a round that has owners
	}
	var order []protocol.PeerID
	for _, away := range []bool{false, true} {
		for _, place := range o.m.orders[shard] {
			if o.away[place] == away {
				order = append(order, o.m.council.Members[place].ID)
			}
		}
	}
	n, open := o.n, 0
	if o.rush && v.best > o.m.council.Quorum().Faults() && v.best < o.m.threshold() {
		n = len(order)
	}
	for i, id := range order {
		if i >= n && v.best+open >= o.m.threshold() {
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

// missing returns the shards of the i-th rostered peer's contribution that an aggregator owns and has not attested to.
func (o *ownership) missing(r *round, i int, self protocol.PeerID) []uint32 {
	var own []uint32
	for k := range o.m.shards() {
		if !o.spans[i].Has(k) {
			continue
		}
		if v := o.m.attested(&r.Entries[i], k); !v.has(self) && slices.Contains(o.of(k, v), self) {
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
	span := m.spans(r)[at]
	for k := range m.shards() {
		if span.Has(k) && holders(equal, k) < m.threshold() {
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

// passOverGather marks as away those owners that did not attest to a shard which more than f others hold: one of these is
// honest, so the contributor has revealed it, they are late, and the next in order own their shards from now on. Fewer may
// all be liars, whose word passes nobody over. At most n-t are silent or lie, so of t+f owners f+1 honest ones are left to say so.
func (m *Machine) passOverGather() {
	r := m.round(m.s.Round)
	o, f := m.ownership(r), m.council.Quorum().Faults()
	var late []protocol.PeerID
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Commit == nil || e.Reveal != nil || e.Bad {
			continue
		}
		for k := range m.shards() {
			v := m.attested(e, k)
			if v.best <= f || !o.spans[i].Has(k) {
				continue
			}
			for _, id := range o.of(k, v) {
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

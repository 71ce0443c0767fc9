package aggregate

import (
	"slices"

	"drystone/protocol"
)

// coherentParts checks the merge in parts that is under way: sums of a shard have the shard's size, are agreed on in any order
// and folded in one, and results follow the weights.
func (m *Machine) coherentParts(r *round) error {
	p := r.Parts
	if p == nil || len(p.Shards) != m.shards() || int64(p.Fold.Next) > int64(len(p.Shards)) {
		return incoherent("round %d without the parts of its merge", r.Number)
	}
	in := m.revealed(r)
	fresh := newFold(m.cfg.Spec, in)
	done := int(p.Fold.Next) == len(p.Shards)
	if done {
		fresh.Squares, fresh.Gram = nil, nil
	}
	if len(p.Fold.Squares) != len(fresh.Squares) || len(p.Fold.Gram) != len(fresh.Gram) {
		return incoherent("round %d with sums of %d contributions, it has %d", r.Number, len(p.Fold.Squares), len(in))
	}
	same := func(x protocol.Merged, c Contribution) bool { return x.Peer == c.Peer }
	if done != (len(p.Record) > 0) || done && !slices.EqualFunc(p.Record, in, same) {
		return incoherent("round %d with a merge record of %d lines after %d shards", r.Number, len(p.Record), p.Fold.Next)
	}
	ahead := len(p.Shards)
	if !done {
		ahead = m.ahead(r)
	}
	for k := range p.Shards {
		if err := m.coherentPart(r, k, ahead, p.Fold.size(len(members(in, k)))); err != nil {
			return err
		}
	}
	return nil
}

// coherentPart checks shard k, whose sums have size bytes and wait if k is ahead or more.
func (m *Machine) coherentPart(r *round, k, ahead, size int) error {
	all := r.Parts
	p, next := &all.Shards[k], int(all.Fold.Next)
	kept := 0
	if p.Agreed && k > next {
		kept = size
	}
	switch {
	case k < next && !p.Agreed, k == next && p.Agreed, k >= ahead && (p.Agreed || len(p.Ballots) > 0):
		return incoherent("shard %d of round %d before its turn, %d are folded", k, r.Number, next)
	case p.Agreed && len(p.Ballots) > 0, len(p.Sums) != kept:
		return incoherent("shard %d of round %d with %d bytes of sums, want %d", k, r.Number, len(p.Sums), kept)
	case len(all.Record) == 0 && (len(p.Votes) > 0 || p.Final != nil):
		return incoherent("shard %d of round %d is merged before the weights", k, r.Number)
	case !ascending(p.Votes, voteKey), len(p.Votes) > protocol.MaxSigners, p.Final != nil && p.equal(*p.Final) < m.threshold():
		return incoherent("shard %d of round %d with a result that has no quorum", k, r.Number)
	}
	if err := byMembers(m.council, "result of a shard", p.Votes, voteKey); err != nil {
		return err
	}
	var signers []protocol.PeerID
	for i := range p.Ballots {
		b := &p.Ballots[i]
		if len(b.Sums) != size || len(b.Signers) == 0 || len(b.Signers) >= m.threshold() || !ascending(b.Signers, sumKey) {
			return incoherent("shard %d of round %d with sums of %d bytes by %d", k, r.Number, len(b.Sums), len(b.Signers))
		}
		if err := byMembers(m.council, "sums of a shard", b.Signers, sumKey); err != nil {
			return err
		}
		for _, s := range b.Signers {
			signers = append(signers, s.ID)
		}
	}
	slices.SortFunc(signers, comparePeers)
	if !ascending(signers, idKey) {
		return incoherent("shard %d of round %d with two sums by one aggregator", k, r.Number)
	}
	return nil
}

// undecided reports whether a shard of the merge in parts still lacks its result.
func (p *parts) undecided() bool {
	return p != nil && slices.ContainsFunc(p.Shards, func(s part) bool { return s.Final == nil })
}

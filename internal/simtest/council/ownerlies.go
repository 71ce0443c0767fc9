package council

import (
	"drystone/aggregate"
)

// Lies of the owners of shards. What t equal ones say decides, so with fewer than t of these nothing false is certified,
// and with up to n-t the honest are enough: who is next in order joins as soon as the owners cannot agree any more, or
// when the silent are late. t liars say what they like; Judge must notice.

// WithholdSums logs no sums of a shard.
func WithholdSums(_ *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	if _, ok := d.(aggregate.DutySums); ok {
		return nil
	}
	return honest
}

// WithholdResult logs no result of a shard.
func WithholdResult(_ *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	if _, ok := d.(aggregate.DutyShard); ok {
		return nil
	}
	return honest
}

// BiasSums logs sums in which the updates have no length, the same for all such liars.
func BiasSums(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	duty, ok := d.(aggregate.DutySums)
	if !ok {
		return honest
	}
	n := len(duty.RevealSet.Set)
	if a.sim.Spec.Aggregate.VectorRule() {
		n += n * (n + 1) / 2
	}
	return [][]byte{a.partial(duty, make([]byte, 8*n))}
}

// BiasShard certifies a shard that stayed as it was.
func BiasShard(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	if duty, ok := d.(aggregate.DutyShard); ok {
		return [][]byte{a.biasedShard(duty)}
	}
	return honest
}

func (a *Aggregator) biasedShard(d aggregate.DutyShard) []byte {
	theta, outer := a.sim.shardOf(&d)
	return a.certifyShard(d, true, theta, outer)
}

// EquivocateShard logs two sums and two results of each shard, the true one first.
//
// The first counts, and the second is evidence, if it comes before t others have settled the matter.
func EquivocateShard(a *Aggregator, d aggregate.Duty, honest [][]byte) [][]byte {
	switch duty := d.(type) {
	case aggregate.DutySums:
		if honest != nil {
			return append(honest, BiasSums(a, d, nil)...)
		}
	case aggregate.DutyShard:
		if honest != nil {
			return append(honest, a.biasedShard(duty))
		}
	}
	return honest
}

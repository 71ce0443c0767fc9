package council

import (
	"context"
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
)

// What node.Aggregator does where shards have owners: sums and merge of one shard, and the whole put together of what the
// owners certified.

// sums is the Partial of a shard.
func (a *Aggregator) sums(d aggregate.DutySums) [][]byte {
	in, ok := a.contributions(&d.DutyMerge, []uint32{d.Shard})
	if !ok {
		return nil
	}
	return [][]byte{a.partial(d, must(aggregate.ShardSums(context.Background(), &a.sim.Spec, params, int(d.Shard), in)))}
}

// partial is the record of some sums, which it leaves out where the log has them.
func (a *Aggregator) partial(d aggregate.DutySums, sums []byte) []byte {
	p := protocol.Partial{Run: a.sim.Run0, RevealSet: d.Prev, Shard: d.Shard, Sums: protocol.MerkleRoot(sums), Aggregator: a.ID()}
	if slices.Contains(d.Known, p.Sums) {
		sums = []byte{}
	}
	return aggregate.PartialRecord(aggregate.Partial{Message: protocol.Sign(a.Key, p), Sums: sums})
}

// mergeShard is the ShardCertificate of a shard.
func (a *Aggregator) mergeShard(d aggregate.DutyShard) [][]byte {
	in, ok := a.contributions(&d.DutyMerge, []uint32{d.Shard})
	if !ok {
		return nil
	}
	theta, outer := a.sim.shardOf(&d)
	_, finite, err := aggregate.MergeShard(context.Background(), &a.sim.Spec, params, int(d.Shard), theta, outer, in, d.Record)
	if err != nil {
		panic(err)
	}
	return [][]byte{a.certifyShard(d, finite, theta, outer)}
}

// shardOf is a copy of a shard's parameters and outer state before the round.
func (s *Sim) shardOf(d *aggregate.DutyShard) (theta, outer []float32) {
	lo, hi := s.Spec.Codec.Shard(params, int(d.Shard))
	theta, outer = slices.Clone(s.vectors[d.Open.Model][lo:hi]), s.vectors[d.Open.Outer]
	if len(outer) > 0 {
		outer = slices.Clone(outer[lo:hi])
	}
	return theta, outer
}

func (a *Aggregator) certifyShard(d aggregate.DutyShard, finite bool, theta, outer []float32) []byte {
	c := protocol.ShardCertificate{Run: a.sim.Run0, RevealSet: d.Prev, Shard: d.Shard, Merge: protocol.MergeDigest(d.Record), Finite: finite, Aggregator: a.ID()}
	if finite {
		c.Model, c.Outer = a.sim.keep(theta), a.sim.keep(outer)
	}
	return aggregate.ShardRecord(protocol.Sign(a.Key, c))
}

// assemble puts the state that a Certificate names together from its shards, and reports whether it is that state.
func (a *Aggregator) assemble(st *protocol.Statement, shards []aggregate.ShardRoots) bool {
	if len(shards) == 0 {
		return true
	}
	cert := must(protocol.DecodeBody[protocol.Certificate](st))
	var theta, outer []float32
	for _, root := range shards {
		theta, outer = append(theta, a.sim.vectors[root.Model]...), append(outer, a.sim.vectors[root.Outer]...)
	}
	return a.sim.keep(theta) == cert.Model && (len(outer) == 0 || a.sim.keep(outer) == cert.Outer)
}

package aggtest

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
)

// partOf is what an Attest names of the shards to be gathered: none for all that the peer was assigned.
func (w *World) partOf(d aggregate.DutyGather) []uint32 {
	if len(d.Own) == w.Spec.Codec.Owed(w.Params, d.Shards) {
		return nil
	}
	return d.Own
}

// Sums is the record of honest sums of a shard: every update has norm 1 in it.
func (w *World) Sums(k protocol.Key, d aggregate.DutySums) []byte {
	m := 0
	for _, x := range d.RevealSet.Set {
		at, _ := slices.BinarySearchFunc(d.Open.Roster, x.Peer, compare)
		if _, own := protocol.PlaceOf(d.Open.Shards(&w.Spec.Codec, w.Params, d.Round, at), int(d.Shard)); own {
			m++
		}
	}
	return w.SumsOf(k, d, bytes.Repeat(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1)), m))
}

// SumsOf is the record of the given sums, left out where the log has them.
func (w *World) SumsOf(k protocol.Key, d aggregate.DutySums, sums []byte) []byte {
	p := protocol.Partial{Run: w.Run, RevealSet: d.Prev, Shard: d.Shard, Sums: protocol.MerkleRoot(sums), Aggregator: k.ID()}
	if slices.Contains(d.Known, p.Sums) {
		sums = []byte{}
	}
	return aggregate.PartialRecord(aggregate.Partial{Message: protocol.Sign(k, p), Sums: sums})
}

// CertifyShard is the honest result of the merge of a shard.
func (w *World) CertifyShard(k protocol.Key, d aggregate.DutyShard) protocol.ShardCertificate {
	merge := protocol.MergeDigest(d.Record)
	shard := binary.BigEndian.AppendUint32(nil, d.Shard)
	c := protocol.ShardCertificate{Run: w.Run, RevealSet: d.Prev, Shard: d.Shard, Merge: merge, Finite: true, Aggregator: k.ID(),
		Model: protocol.Hash("theta", d.Prev[:], shard, merge[:]), Outer: protocol.Hash("outer", d.Prev[:], shard, merge[:])}
	if w.Spec.Codec.Down != "" {
		c.Update = protocol.UpdateOf(c.Model[:])
	}
	return c
}

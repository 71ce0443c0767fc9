package protocol

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxGramRoster is the largest roster whose inner products fit a record: 8 bytes for each of n(n+3)/2 numbers.
const maxGramRoster = 509

// Owners returns how many aggregators of a council gather and merge each shard in a round with a roster of so many
// peers, for a model of params parameters: t+f, so that t honest ones are left when f lie. It is n, which means that
// every aggregator gathers and merges everything, where a part alone would not do:
//
//   - t+f is n, as in 3 of 4, 4 of 5 and 5 of 7;
//   - there is one shard;
//   - the leaves of a shard are not a power of two: then the root of the model is not that over the roots of its shards;
//   - fedadam and fedyogi, whose second moment does not begin at a leaf;
//   - a vector rule and more than 509 peers, whose inner products do not fit a record.
func (s *RunSpec) Owners(q QuorumSpec, params, roster int) int {
	adaptive := s.Outer.Optimiser == "fedadam" || s.Outer.Optimiser == "fedyogi"
	leaves := s.Codec.ShardParams / chunkParams
	switch {
	case s.Codec.Shards(params) < 2 || bits.OnesCount(uint(leaves)) != 1 || adaptive:
		return q.Aggregators
	case s.Aggregate.VectorRule() && roster > maxGramRoster:
		return q.Aggregators
	}
	return min(q.Aggregators, q.Threshold+max(0, q.Faults()))
}

// OwnerOrder returns the aggregators in the order in which the shard falls to them: the first Owners of them own it, and
// one that is late is passed over for the next. It is rendezvous hashing, and the same in every round: so an owner keeps
// its shard's state, and a change of one member moves only the shards that this member gains or loses.
func OwnerOrder(run Digest, shard uint32, aggregators []PeerID) []PeerID {
	type ranked struct {
		rank Digest
		id   PeerID
	}
	order := make([]ranked, len(aggregators))
	for i, a := range aggregators {
		order[i] = ranked{Hash(DomainOwner, run[:], binary.BigEndian.AppendUint32(nil, shard), a[:]), a}
	}
	slices.SortFunc(order, func(a, b ranked) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	ids := make([]PeerID, len(order))
	for i, r := range order {
		ids[i] = r.id
	}
	return ids
}

// Partial is an owner's word on what a shard adds to the inner products of a round's contributions. Sums is the
// MerkleRoot of the numbers themselves, which travel beside the message until the log holds them.
type Partial struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	RevealSet  Digest // of the statement
	Shard      uint32
	Sums       Digest
	Aggregator PeerID
}

// ShardCertificate is an owner's result of the merge of one shard. Model and Outer are MerkleRoots of the shard's
// parameters and outer state after the round; the root of the empty tree for an optimiser without state. Where Finite
// is false both are zero, and the whole model carries over.
type ShardCertificate struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	RevealSet  Digest // of the statement
	Shard      uint32
	Merge      Digest // MergeDigest of the merge record that the weights come from
	Model      Digest
	Outer      Digest
	Finite     bool
	Aggregator PeerID
	Update     ShardUpdate // on the way down; left out of the encoding if zero
}

// MergeDigest identifies a merge record.
func MergeDigest(record []Merged) Digest { return Hash(DomainMerge, mustEncode(record)) }

func (Partial) domain() string          { return DomainPartial }
func (ShardCertificate) domain() string { return DomainShard }

func (m Partial) signer() PeerID          { return m.Aggregator }
func (m ShardCertificate) signer() PeerID { return m.Aggregator }

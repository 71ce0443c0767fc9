package aggregate

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"drystone/aggregate/robust"
	"drystone/internal/delta"
	"drystone/protocol"
)

// Merge in parts: an owner of a shard computes ShardSums from the shard's payloads, anyone adds them up to the merge
// record (the machine does, from its log), and the owner then merges its shard with MergeShard. Together they give what
// Merge gives, bit for bit, since Merge folds norms and inner products shard by shard in the same order:
//
//	sums of a shard     m squares, then, if the weights come from inner products of whole updates, m(m+1)/2 of these:
//	                    rows i, columns j >= i; m contributions that trained the shard, in their order. float64,
//	                    little-endian. A contribution whose payload does not decode has NaN, 7ff8000000000001, for its
//	                    square, and zeros for its products
//	over all shards     ascending from +0

// wholeGram reports whether the weights come from inner products over all shards: of a vector rule, if everyone trained
// everything.
func wholeGram(spec *protocol.RunSpec, in []Contribution) bool {
	return spec.Aggregate.VectorRule() && !slices.ContainsFunc(in, func(c Contribution) bool { return len(c.Shards) > 0 })
}

// ShardSums returns the sums of one shard: contributions are those of the RevealSet, in their order, and have the payload
// of this shard alone if they trained it, else none.
func ShardSums(ctx context.Context, spec *protocol.RunSpec, params, shard int, contributions []Contribution) ([]byte, error) {
	codec, err := codecOf(spec, contributions)
	if err != nil {
		return nil, fmt.Errorf("sums of shard %d: %w", shard, err)
	}
	in, err := trained(shard, contributions)
	if err != nil {
		return nil, err
	}
	codec = codec.Shard(shard)
	lo, hi := spec.Codec.Shard(params, shard)
	var sums []byte
	var good []Contribution
	var at []int
	for i, c := range in {
		square := math.NaN()
		if x, err := codec.SumSquares(c.Payloads[0], hi-lo); err == nil {
			square, good, at = x, append(good, c), append(at, i)
		}
		sums = binary.LittleEndian.AppendUint64(sums, math.Float64bits(square))
	}
	if !wholeGram(spec, contributions) {
		return sums, nil
	}
	g, err := gram(ctx, []delta.Codec{codec}, []int{hi - lo}, good)
	if err != nil {
		return nil, err
	}
	products, m := make([]float64, len(in)*len(in)), len(in)
	for i := range good {
		for j := range good {
			products[at[i]*m+at[j]] = g.At(i, j)
		}
	}
	for i := range m {
		for _, x := range products[i*m+i : (i+1)*m] {
			sums = binary.LittleEndian.AppendUint64(sums, math.Float64bits(x))
		}
	}
	return sums, nil
}

// trained returns those that trained a shard.
func trained(shard int, contributions []Contribution) ([]Contribution, error) {
	var in []Contribution
	for _, c := range contributions {
		if _, own := protocol.PlaceOf(c.Shards, shard); !own {
			continue
		}
		if len(c.Payloads) != 1 {
			return nil, fmt.Errorf("%w: %d payloads of %s for shard %d", ErrMergeInput, len(c.Payloads), c.Peer.Short(), shard)
		}
		in = append(in, c)
	}
	return in, nil
}

// fold is the sum over the shards so far. It is plain data of the machine's state: float64 by their bits.
type fold struct {
	_       struct{} `cbor:",toarray"`
	Next    uint32   // shards that are in
	Squares []uint64 // one per contribution
	Gram    []uint64 // inner products, upper half row by row; empty if the weights need none
}

func newFold(spec *protocol.RunSpec, contributions []Contribution) *fold {
	n := len(contributions)
	f := &fold{Squares: make([]uint64, n), Gram: []uint64{}}
	if wholeGram(spec, contributions) {
		f.Gram = make([]uint64, n*(n+1)/2)
	}
	return f
}

// size is how many bytes the sums of a shard have that m of the contributions trained.
func (f *fold) size(m int) int {
	if len(f.Gram) > 0 {
		return 4 * m * (m + 3)
	}
	return 8 * m
}

// add takes in the sums of the next shard, of the right size; members says which contributions they are of.
func (f *fold) add(sums []byte, members []int) {
	next := func() uint64 {
		x := binary.LittleEndian.Uint64(sums)
		sums = sums[8:]
		return x
	}
	for _, i := range members {
		f.Squares[i] = addBits(f.Squares[i], next())
	}
	for k := range f.Gram { // everyone is a member
		f.Gram[k] = addBits(f.Gram[k], next())
	}
	f.Next++
}

// addBits adds two float64 given by their bits. All NaN are one.
func addBits(a, b uint64) uint64 {
	sum := math.Float64frombits(a) + math.Float64frombits(b)
	if math.IsNaN(sum) {
		sum = math.NaN()
	}
	return math.Float64bits(sum)
}

// record returns the merge record that follows from the sums over all shards.
func (f *fold) record(spec *protocol.RunSpec, params int, contributions []Contribution) []protocol.Merged {
	norms := make([]float64, len(contributions))
	for i, c := range contributions {
		sum := math.Float64frombits(f.Squares[i])
		if n := spec.Codec.Trained(params, c.Shards); n < params {
			sum = float64(sum * float64(float64(params)/float64(n)))
		}
		if norms[i] = math.Sqrt(sum); math.IsNaN(norms[i]) {
			norms[i] = math.NaN()
		}
	}
	clips := clip(spec, norms)
	weights := recordWeights(spec, contributions, clips, f.weights(spec, contributions, clips))
	record := make([]protocol.Merged, len(contributions))
	for i, c := range contributions {
		record[i] = protocol.Merged{Peer: c.Peer, Weight: math.Float32bits(weights[i]), Norm: math.Float64bits(norms[i])}
	}
	return record
}

// weights are those that vectorWeights gives of whole updates; nil where shards have weights of their own.
func (f *fold) weights(spec *protocol.RunSpec, contributions []Contribution, clips []float64) []float32 {
	if len(f.Gram) == 0 {
		return nil
	}
	var in []Contribution
	var at []int
	var upper []float64
	k := 0
	for i := range contributions {
		for j := i; j < len(contributions); j++ {
			if !math.IsNaN(clips[i]) && !math.IsNaN(clips[j]) {
				upper = append(upper, math.Float64frombits(f.Gram[k]))
			}
			k++
		}
		if !math.IsNaN(clips[i]) {
			in, at = append(in, contributions[i]), append(at, i)
		}
	}
	weights := make([]float32, len(contributions))
	for i, w := range robust.Weights(robust.FromUpper(len(in), upper), stepsOf(in), ruleParams(&spec.Aggregate)) {
		weights[at[i]] = float32(w)
	}
	return weights
}

// MergeShard merges one shard in place: theta and outer are its parameters and its outer state, of which sgd has none.
// contributions are as for ShardSums, record is that of the round before anything was found not to be finite. It returns the
// shard's payload of the way down, as Result.Down has it, and reports whether the result is finite; if not, theta and outer
// are spoilt.
func MergeShard(ctx context.Context, spec *protocol.RunSpec, params, shard int, theta, outer []float32, contributions []Contribution, record []protocol.Merged) (down []byte, finite bool, err error) {
	codec, err := codecOf(spec, contributions)
	if err != nil {
		return nil, false, fmt.Errorf("merge shard %d: %w", shard, err)
	}
	codec = codec.Shard(shard)
	lo, hi := spec.Codec.Shard(params, shard)
	if len(theta) != hi-lo || len(outer) != spec.OuterState(hi-lo) || len(record) != len(contributions) {
		return nil, false, fmt.Errorf("%w: shard %d of %d parameters, %d of outer state, %d lines of record for %d contributions", ErrMergeInput,
			shard, len(theta), len(outer), len(record), len(contributions))
	}
	in, err := trained(shard, contributions)
	if err != nil {
		return nil, false, err
	}
	norms := make([]float64, len(record))
	for i, m := range record {
		norms[i] = math.Float64frombits(m.Norm)
	}
	all := clip(spec, norms)
	var clips []float64
	var weights []float32
	for i, c := range contributions {
		if _, own := protocol.PlaceOf(c.Shards, shard); own {
			clips, weights = append(clips, all[i]), append(weights, math.Float32frombits(record[i].Weight))
		}
	}
	if !wholeGram(spec, contributions) {
		if weights, err = shardWeights(ctx, spec, codec, hi-lo, in, clips); err != nil {
			return nil, false, err
		}
	}
	return mergeInto(ctx, spec, codec, shard, stateOf(spec, theta, outer, 0, hi-lo), in, weights)
}

// withoutWeights is the record of a round whose result is not finite.
func withoutWeights(record []protocol.Merged) []protocol.Merged {
	out := slices.Clone(record)
	for i := range out {
		out[i].Weight = 0
	}
	return out
}

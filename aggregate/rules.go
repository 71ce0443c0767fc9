package aggregate

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"

	"drystone/aggregate/robust"
	"drystone/internal/delta"
	"drystone/protocol"
)

// wholeWeights returns the weights that every shard shares: those of a vector rule if everyone trained all shards. It
// returns nil if each shard has weights of its own, which shardWeights gives.
func wholeWeights(ctx context.Context, spec *protocol.RunSpec, codec delta.Codec, params int, contributions []Contribution, clips []float64) ([]float32, error) {
	partial := slices.ContainsFunc(contributions, func(c Contribution) bool { return len(c.Shards) > 0 })
	if !spec.Aggregate.VectorRule() || partial {
		return nil, nil
	}
	lengths := shardLengths(spec, params)
	codecs := make([]delta.Codec, len(lengths))
	for k := range codecs {
		codecs[k] = codec.Shard(k)
	}
	return vectorWeights(ctx, spec, codecs, lengths, contributions, clips)
}

// shardWeights returns the weights of those who trained a shard of n parameters, of which alone they hold the payload.
func shardWeights(ctx context.Context, spec *protocol.RunSpec, codec delta.Codec, n int, in []Contribution, clips []float64) ([]float32, error) {
	if spec.Aggregate.VectorRule() {
		return vectorWeights(ctx, spec, []delta.Codec{codec}, []int{n}, in, clips)
	}
	return recordWeights(spec, in, clips, nil), nil
}

// recordWeights returns the weights that stand in the record: whole if it is not nil, alike for a coordinate rule, and by
// steps and clips for the others.
func recordWeights(spec *protocol.RunSpec, contributions []Contribution, clips []float64, whole []float32) []float32 {
	switch {
	case whole != nil:
		return slices.Clone(whole)
	case spec.Aggregate.CoordinateRule():
		return alike(clips)
	}
	return weigh(contributions, clips)
}

// alike returns one weight for all that are not left out.
func alike(clips []float64) []float32 {
	weights, n := make([]float32, len(clips)), 0
	for _, c := range clips {
		if !math.IsNaN(c) {
			n++
		}
	}
	for i, c := range clips {
		if !math.IsNaN(c) {
			weights[i] = 1 / float32(n)
		}
	}
	return weights
}

// vectorWeights returns the weight of each contribution, 0 for those left out, whose clip is NaN: what package robust says
// of the others' decoded values, rounded to float32. Their payloads are of shards of the given lengths, which with their
// codec chunks are the shards and blocks of its fold. Where some trained only a part of the shards the rule sees each
// shard by itself, and the norms that it caps are those within the shard.
func vectorWeights(ctx context.Context, spec *protocol.RunSpec, codecs []delta.Codec, lengths []int, contributions []Contribution, clips []float64) ([]float32, error) {
	var in []Contribution
	var at []int
	for i, c := range contributions {
		if !math.IsNaN(clips[i]) {
			in, at = append(in, c), append(at, i)
		}
	}
	g, err := gram(ctx, codecs, lengths, in)
	if err != nil {
		return nil, err
	}
	weights := make([]float32, len(contributions))
	for k, w := range robust.Weights(g, stepsOf(in), ruleParams(&spec.Aggregate)) {
		weights[at[k]] = float32(w)
	}
	return weights, nil
}

func ruleParams(a *protocol.AggregateSpec) robust.Params {
	return robust.Params{Rule: a.Rule, Faults: int(min(a.Faults, protocol.MaxRoster)), NormCap: a.NormCap, Radius: a.Radius, Mixing: a.Mixing}
}

func shardLengths(spec *protocol.RunSpec, params int) []int {
	lengths := make([]int, spec.Codec.Shards(params))
	for k := range lengths {
		lo, hi := spec.Codec.Shard(params, k)
		lengths[k] = hi - lo
	}
	return lengths
}

func stepsOf(contributions []Contribution) []uint32 {
	steps := make([]uint32, len(contributions))
	for i, c := range contributions {
		steps[i] = c.Steps
	}
	return steps
}

// codecOf returns the codec of the round that contributions are to, of which Shard makes each shard's.
func codecOf(spec *protocol.RunSpec, contributions []Contribution) (delta.Codec, error) {
	codec, err := delta.New(spec.Codec)
	if err != nil || len(contributions) == 0 || spec.Codec.Up != "masked" && spec.Codec.Stagger == 0 {
		return codec, err
	}
	run, err := spec.ID()
	return codec.Round(run, contributions[0].Round), err
}

// gram returns the inner products of contributions whose payloads are of shards of the given codecs and lengths and passed
// Validate.
func gram(ctx context.Context, codecs []delta.Codec, lengths []int, contributions []Contribution) (*robust.Gram, error) {
	g := robust.NewGram(len(contributions))
	payloads := make([][]byte, len(contributions))
	for k, n := range lengths {
		for i, c := range contributions {
			payloads[i] = c.Payloads[k]
		}
		products, err := codecs[k].Products(ctx, threads(), payloads, n)
		if err != nil {
			return nil, fmt.Errorf("inner products of shard %d: %w", k, err)
		}
		g.Add(robust.GramOf(len(contributions), products))
	}
	return g, nil
}

// threads is how many a merge may use; no bit of it shows them.
func threads() int { return runtime.GOMAXPROCS(0) }

// eachChunk decodes one codec chunk of every payload of n parameters after the other, and calls visit with the place of
// its first parameter and the chunk of each, whose memory is its own again afterwards. at are the places of the values in the
// chunk, the same in all payloads, or nil if there is one for every parameter.
func eachChunk(ctx context.Context, codec delta.Codec, n int, payloads [][]byte, visit func(lo int, at []uint16, rows [][]float32)) error {
	readers, rows := make([]*delta.Reader, len(payloads)), make([][]float32, len(payloads))
	for i, p := range payloads {
		var err error
		if readers[i], err = codec.Reader(p, n); err != nil {
			return err
		}
	}
	for chunk := range delta.Chunks(n) {
		if err := ctx.Err(); err != nil {
			return err
		}
		var at []uint16
		for i, r := range readers {
			var err error
			if at, rows[i], err = r.Next(); err != nil { // all values, or those of one mask: RunSpec.Validate admits no other codec
				return err
			}
		}
		visit(chunk*delta.ChunkParams, at, rows)
	}
	return nil
}

// mergeUpdate sets update, which holds as many zeros as the shard has parameters, to the merge of those contributions that
// have a weight, of whom it takes the first payload: the sum by weight, or for a coordinate rule what robust.MergeTrimmed
// or robust.MergeMedian makes of the decoded values, whatever the weights are.
func mergeUpdate(ctx context.Context, spec *protocol.RunSpec, codec delta.Codec, update []float32, in []Contribution, weights []float32) error {
	payloads := make([][]byte, len(in))
	for i, c := range in {
		payloads[i] = c.Payloads[0]
	}
	if !spec.Aggregate.CoordinateRule() {
		return codec.AddAll(ctx, threads(), update, weights, payloads)
	}
	used := payloads[:0]
	for i, p := range payloads {
		if weights[i] != 0 {
			used = append(used, p)
		}
	}
	if len(used) == 0 {
		return nil
	}
	var some [delta.ChunkParams]float32
	return eachChunk(ctx, codec, len(update), used, func(lo int, at []uint16, values [][]float32) {
		out := update[lo:][:len(values[0])]
		if at != nil {
			out = some[:len(values[0])]
		}
		defer func() {
			for i, p := range at {
				update[lo+int(p)] = out[i]
			}
		}()
		if spec.Aggregate.Rule == robust.Median {
			robust.MergeMedian(out, values)
		} else {
			robust.MergeTrimmed(out, values, int(min(spec.Aggregate.Faults, protocol.MaxRoster)))
		}
	})
}

package aggregate

import (
	"fmt"
	"math"

	"drystone/aggregate/robust"
	"drystone/internal/delta"
	"drystone/protocol"
)

// mergeWeights returns the weight of every contribution, 0 for those left out. For a vector rule it is that of package
// robust, rounded to float32, over the contributions with a finite norm; their values are the decoded ones, their shards
// and chunks the blocks of its fold. For a coordinate rule every such contribution has the same.
func mergeWeights(spec *protocol.RunSpec, codec delta.Codec, params int, contributions []Contribution, norms []float64) ([]float32, error) {
	if !spec.Aggregate.VectorRule() && !spec.Aggregate.CoordinateRule() {
		return weigh(spec, contributions, norms), nil
	}
	var in []Contribution
	var at []int
	for i, c := range contributions {
		if finite(norms[i]) {
			in, at = append(in, c), append(at, i)
		}
	}
	weights := make([]float32, len(contributions))
	if spec.Aggregate.CoordinateRule() {
		for _, i := range at {
			weights[i] = 1 / float32(len(at))
		}
		return weights, nil
	}
	g, err := gram(codec, shardLengths(spec, params), in)
	if err != nil {
		return nil, err
	}
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

// gram returns the inner products of contributions whose payloads are of shards of the given lengths and passed Validate.
func gram(codec delta.Codec, lengths []int, contributions []Contribution) (*robust.Gram, error) {
	g := robust.NewGram(len(contributions))
	payloads := make([][]byte, len(contributions))
	for k, n := range lengths {
		for i, c := range contributions {
			payloads[i] = c.Payloads[k]
		}
		shard := robust.NewGram(len(contributions))
		err := eachChunk(codec, n, payloads, func(_ int, rows [][]float32) { shard.AddBlock(rows) })
		if err != nil {
			return nil, fmt.Errorf("inner products of shard %d: %w", k, err)
		}
		g.Add(shard)
	}
	return g, nil
}

// eachChunk decodes one codec chunk of every payload of n parameters after the other, and calls visit with the place of
// its first parameter and the chunk of each; the rows are its own again afterwards.
func eachChunk(codec delta.Codec, n int, payloads [][]byte, visit func(lo int, rows [][]float32)) error {
	space, rows := make([]float32, len(payloads)*delta.ChunkParams), make([][]float32, len(payloads))
	for chunk := range delta.Chunks(n) {
		lo := chunk * delta.ChunkParams
		size := min(delta.ChunkParams, n-lo)
		clear(space)
		for i, p := range payloads {
			rows[i] = space[i*delta.ChunkParams:][:size]
			b, err := codec.Chunk(p, n, chunk)
			if err != nil {
				return err
			}
			if err := codec.AddTo(rows[i], 1, b); err != nil {
				return err
			}
		}
		visit(lo, rows)
	}
	return nil
}

// mergeUpdate adds shard k of the contributions with a weight to update, which holds as many zeros as the shard has
// parameters.
func mergeUpdate(spec *protocol.RunSpec, codec delta.Codec, update []float32, k int, contributions []Contribution, weights []float32) error {
	if spec.Aggregate.CoordinateRule() {
		return coordinateUpdate(spec, codec, update, k, contributions, weights)
	}
	for i, c := range contributions {
		if weights[i] == 0 {
			continue
		}
		if err := codec.AddTo(update, weights[i], c.Payloads[k]); err != nil {
			return fmt.Errorf("merge %s, shard %d: %w", c.Peer.Short(), k, err)
		}
	}
	return nil
}

// coordinateUpdate sets update to what robust.MergeTrimmed or robust.MergeMedian makes of the contributions with a weight,
// whatever it is.
func coordinateUpdate(spec *protocol.RunSpec, codec delta.Codec, update []float32, k int, contributions []Contribution, weights []float32) error {
	var payloads [][]byte
	for i, c := range contributions {
		if weights[i] != 0 {
			payloads = append(payloads, c.Payloads[k])
		}
	}
	if len(payloads) == 0 {
		return nil
	}
	err := eachChunk(codec, len(update), payloads, func(lo int, rows [][]float32) {
		out := update[lo:][:len(rows[0])]
		if spec.Aggregate.Rule == robust.Median {
			robust.MergeMedian(out, rows)
		} else {
			robust.MergeTrimmed(out, rows, int(min(spec.Aggregate.Faults, math.MaxInt32)))
		}
	})
	if err != nil {
		return fmt.Errorf("merge shard %d: %w", k, err)
	}
	return nil
}

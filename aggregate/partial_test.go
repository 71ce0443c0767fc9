package aggregate_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/internal/delta"
	"drystone/protocol"
)

// What the owners of the shards compute, put together, is what Merge computes: theta, outer state and record, bit for bit,
// for every rule, with peers that trained a part, payloads that do not decode, and results that are not finite.
func TestMergeInPartsIsMerge(t *testing.T) {
	rules := []protocol.AggregateSpec{
		{Rule: "mean"}, {Rule: "norm-clip", NormCap: 1}, {Rule: "multi-krum", Faults: 1}, {Rule: "geometric-median", Faults: 1, NormCap: 2},
		{Rule: "centered-clip", Faults: 1, NormCap: 3, Radius: 1, Mixing: true}, {Rule: "trimmed-mean", Faults: 1}, {Rule: "median"},
	}
	seen := map[string]int{}
	for _, rule := range rules {
		t.Run(rule.Rule, rapid.MakeCheck(func(t *rapid.T) {
			w := aggtest.New(nil)
			spec := w.Spec
			spec.Aggregate = rule
			if spec.Aggregate.VectorRule() && rapid.Bool().Draw(t, "sparse") {
				spec.Codec = protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.9, ShardParams: 4096}
			}
			if rapid.Bool().Draw(t, "sgd") {
				spec.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
			}
			huge := rapid.IntRange(0, 3).Draw(t, "huge") == 0 // one peer whose update is at the end of float32
			if huge {
				spec.Codec, spec.Outer = w.Spec.Codec, w.Spec.Outer
			}
			if rapid.Bool().Draw(t, "way down") {
				withDown(t, &spec)
			}
			params := 3*4096 + rapid.IntRange(1, 300).Draw(t, "rest")
			rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
			vector := func(n int, scale float64) []float32 {
				v := make([]float32, n)
				for i := range v {
					v[i] = float32(scale * rng.NormFloat64())
				}
				return v
			}
			codec, err := delta.New(spec.Codec)
			if err != nil {
				t.Fatal(err)
			}
			partial := rapid.Bool().Draw(t, "partial")
			peers := rapid.IntRange(1, 9).Draw(t, "peers")
			if huge {
				partial, peers = false, 1
			}
			var in []aggregate.Contribution
			for i := range peers {
				c := aggregate.Contribution{Peer: protocol.PeerID{2, byte(i)}, Steps: uint32(1 + rng.IntN(8))}
				if partial && rng.IntN(2) == 0 {
					c.Shards = []uint32{uint32(rng.IntN(2)), uint32(2 + rng.IntN(2))}
				}
				scale := 1.0
				if huge {
					scale = math.MaxFloat32
				}
				for k := range spec.Codec.Owed(params, c.Shards) {
					lo, hi := spec.Codec.Shard(params, protocol.ShardAt(c.Shards, k))
					u := vector(hi-lo, scale)
					for j := range u {
						u[j] = max(-math.MaxFloat32, min(math.MaxFloat32, u[j]))
					}
					payload, err := codec.Encode(nil, u, make([]float32, hi-lo))
					if err != nil {
						t.Fatal(err)
					}
					if rng.IntN(25) == 0 {
						payload = payload[1:]
					}
					c.Payloads = append(c.Payloads, payload)
				}
				in = append(in, c)
			}
			theta, outer := vector(params, 1), vector(spec.OuterState(params), 0.1)
			wantTheta, wantOuter, want, err := aggregate.Merge(&spec, theta, outer, in)
			if err != nil {
				t.Fatal(err)
			}
			gotTheta, gotOuter, got, err := aggregate.MergeInParts(&spec, theta, outer, in)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("record\n%v, want\n%v", got, want)
			}
			if !slices.Equal(bits(gotTheta), bits(wantTheta)) || !slices.Equal(bits(gotOuter), bits(wantOuter)) {
				t.Fatal("the merged bits differ")
			}
			left := slices.ContainsFunc(want, func(m protocol.Merged) bool { return m.Weight == 0 })
			if left {
				seen["left out"]++
			}
			if slices.Equal(bits(wantTheta), bits(theta)) {
				seen["carried over"]++
			}
		}))
	}
	if seen["left out"] == 0 || seen["carried over"] == 0 {
		t.Errorf("cases: %v", seen)
	}
}

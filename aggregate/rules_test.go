package aggregate_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/aggregate/robust"
	"drystone/internal/delta"
	"drystone/protocol"
)

// every rule with settings for 12 contributors of which 3 may lie.
var ruleCases = []protocol.AggregateSpec{
	{Rule: "mean", MinPeers: 9},
	{Rule: "norm-clip", NormCap: 3, MinPeers: 9},
	{Rule: "multi-krum", Faults: 3, MinPeers: 9},
	{Rule: "geometric-median", Faults: 3, NormCap: 3, MinPeers: 9},
	{Rule: "centered-clip", Faults: 3, NormCap: 3, Radius: 1, MinPeers: 9},
	{Rule: "centered-clip", Faults: 3, NormCap: 3, Radius: 1, Mixing: true, MinPeers: 9},
	{Rule: "trimmed-mean", Faults: 3, MinPeers: 9},
	{Rule: "median", MinPeers: 9},
}

func caseName(a protocol.AggregateSpec) string {
	if a.Mixing {
		return a.Rule + " mixing"
	}
	return a.Rule
}

// ruleWorld is a spec with a rule, three shards of which the last is short, and contributions: 12 peers ascending, of
// which the last liars send something else than what they trained.
type ruleWorld struct {
	spec     protocol.RunSpec
	codec    delta.Codec
	theta    []float32
	updates  [][]float32
	in       []aggregate.Contribution
	expected []float32 // what the honest agree on
}

const ruleParams = 2*4096 + 100

func newRuleWorld(t tb, rule protocol.AggregateSpec, codec protocol.CodecSpec, liars int, lie func(honest []float32) []float32) *ruleWorld {
	t.Helper()
	w := &ruleWorld{spec: aggtest.New(nil).Spec, theta: make([]float32, ruleParams)}
	w.spec.Aggregate, w.spec.Codec = rule, codec
	w.spec.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
	if err := w.spec.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.codec, err = delta.New(codec); err != nil {
		t.Fatal(err)
	}
	seed := uint64(len(rule.Rule))
	noise := func() float32 {
		seed = seed*6364136223846793005 + 1442695040888963407
		return float32(int32(seed>>32)) * 0x1p-31
	}
	for range ruleParams {
		w.expected = append(w.expected, noise())
	}
	ids := []protocol.PeerID{}
	for i := range 12 {
		ids = append(ids, protocol.DeriveKey(3, fmt.Sprint("contributor ", i)).ID())
	}
	slices.SortFunc(ids, func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
	for i, id := range ids {
		u := slices.Clone(w.expected)
		for j := range u {
			u[j] += noise() / 4
		}
		if i >= len(ids)-liars {
			u = lie(u)
		}
		c := aggregate.Contribution{Peer: id, Steps: w.spec.Train.Steps, Payloads: dense(t, &w.spec, u)}
		w.updates, w.in = append(w.updates, w.decoded(t, c)), append(w.in, c)
	}
	return w
}

// decoded is what the payloads hold.
func (w *ruleWorld) decoded(t tb, c aggregate.Contribution) []float32 {
	t.Helper()
	u := make([]float32, ruleParams)
	for k, p := range c.Payloads {
		lo, hi := w.spec.Codec.Shard(ruleParams, k)
		if err := w.codec.AddTo(u[lo:hi], 1, p); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func (w *ruleWorld) merge(t tb) ([]float32, []protocol.Merged) {
	t.Helper()
	theta, _, record, err := aggregate.Merge(&w.spec, w.theta, nil, w.in)
	if err != nil {
		t.Fatal(err)
	}
	return theta, record
}

var (
	denseCodec  = protocol.CodecSpec{Up: "dense", ShardParams: 4096}
	sparseCodec = protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 4096}
)

// laneDot is the inner product of one chunk as package delta defines it.
func laneDot(x, y []float32) float64 {
	var lane [8]float64
	for p := range x {
		product := float64(x[p]) * float64(y[p])
		lane[p%8] += product
	}
	return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]))
}

// What Merge does with a vector rule is what package robust says of the decoded vectors: the weights rounded, then the
// fold of fma in order of peers, which the record lets anyone repeat.
func TestVectorRulesInMerge(t *testing.T) {
	for _, rule := range ruleCases {
		if !rule.VectorRule() {
			continue
		}
		for _, codec := range []protocol.CodecSpec{denseCodec, sparseCodec} {
			t.Run(caseName(rule)+" "+codec.Up, func(t *testing.T) {
				w := newRuleWorld(t, rule, codec, 3, func(u []float32) []float32 {
					for j := range u {
						u[j] = -u[j]
					}
					return u
				})
				w.in[4].Steps = 1
				w.in[5].Payloads[1] = w.in[5].Payloads[1][:1] // does not decode
				got, record := w.merge(t)

				g := robust.NewGram(11)
				in := slices.Delete(slices.Clone(w.updates), 5, 6)
				for lo := 0; lo < ruleParams; lo += 4096 {
					hi := min(lo+4096, ruleParams)
					var products []float64
					for _, x := range in {
						for _, y := range in {
							products = append(products, laneDot(x[lo:hi], y[lo:hi]))
						}
					}
					g.Add(robust.GramOf(11, products))
				}
				steps := slices.Repeat([]uint32{w.spec.Train.Steps}, 11)
				steps[4] = 1
				want := robust.Weights(g, steps, robust.Params{Rule: rule.Rule, Faults: 3, NormCap: rule.NormCap, Radius: rule.Radius, Mixing: rule.Mixing})
				want = slices.Insert(want, 5, 0)
				update := make([]float32, ruleParams)
				for i, r := range record {
					if r.Weight != math.Float32bits(float32(want[i])) {
						t.Fatalf("weight %d is %v, want %v", i, math.Float32frombits(r.Weight), want[i])
					}
					for j, x := range w.updates[i] {
						if want[i] != 0 && x != 0 {
							update[j] = fma32(float32(want[i]), x, update[j])
						}
					}
				}
				for j, u := range update {
					if got[j] != -u {
						t.Fatalf("parameter %d is %v, want %v", j, got[j], -u)
					}
				}
			})
		}
	}
}

// A quarter of liars who reverse and enlarge what they trained turn the mean around and no robust rule.
func TestRulesWithstandReversal(t *testing.T) {
	for _, rule := range ruleCases {
		t.Run(caseName(rule), func(t *testing.T) {
			w := newRuleWorld(t, rule, denseCodec, 3, func(u []float32) []float32 {
				for j := range u {
					u[j] *= -1000
				}
				return u
			})
			got, _ := w.merge(t)
			var along, size float64
			for j, x := range w.expected {
				along -= float64(got[j]) * float64(x)
				size += float64(x) * float64(x)
			}
			if along /= size; rule.Rule == "mean" {
				if along > -10 {
					t.Errorf("the mean withstood: %v of the honest direction", along)
				}
			} else if least := map[bool]float64{true: 0.6, false: -0.2}[rule.Rule != "norm-clip"]; along < least {
				t.Errorf("%v of the honest direction, want at least %v", along, least)
			}
		})
	}
}

// Coordinate rules merge parameter by parameter, of those that decode, each alike.
func TestCoordinateRulesInMerge(t *testing.T) {
	for _, rule := range ruleCases {
		if !rule.CoordinateRule() {
			continue
		}
		t.Run(rule.Rule, func(t *testing.T) {
			w := newRuleWorld(t, rule, denseCodec, 0, nil)
			w.in[2].Steps = 1
			w.in[7].Payloads[0] = nil
			got, record := w.merge(t)
			for i, r := range record {
				if want := float32(1) / 11; i != 7 && r.Weight != math.Float32bits(want) || i == 7 && r.Weight != 0 {
					t.Errorf("weight %d is %v", i, math.Float32frombits(r.Weight))
				}
			}
			in := slices.Delete(slices.Clone(w.updates), 7, 8)
			want := make([]float32, ruleParams)
			if rule.Rule == "median" {
				robust.MergeMedian(want, in)
			} else {
				robust.MergeTrimmed(want, in, 3)
			}
			for j, u := range want {
				if got[j] != -u {
					t.Fatalf("parameter %d is %v, want %v", j, got[j], -u)
				}
			}
		})
	}
}

// One contributor, or none, or only broken ones: every rule merges what there is, and nothing moves without a weight.
func TestRulesWithFew(t *testing.T) {
	for _, rule := range ruleCases {
		w := newRuleWorld(t, rule, denseCodec, 0, nil)
		all := w.in
		for n := range 5 {
			w.in = all[:n]
			got, record := w.merge(t)
			if moved := !slices.Equal(got, w.theta); moved != (n > 0) {
				t.Errorf("%s of %d: moved %v", caseName(rule), n, moved)
			}
			var sum float64
			for _, r := range record {
				sum += float64(math.Float32frombits(r.Weight))
			}
			if n > 0 && math.Abs(sum-1) > 1e-5 {
				t.Errorf("%s of %d: weights sum to %v", caseName(rule), n, sum)
			}
		}
		w.in = []aggregate.Contribution{{Peer: all[0].Peer, Steps: 1, Payloads: [][]byte{nil, nil, nil}}}
		if got, record := w.merge(t); !slices.Equal(got, w.theta) || record[0].Weight != 0 {
			t.Errorf("%s of a broken one: %v", caseName(rule), record)
		}
	}
}

// Where some trained only a part, each shard is merged by itself: as if it were the whole model of those who trained it.
func TestRulesInShards(t *testing.T) {
	for _, rule := range ruleCases {
		t.Run(caseName(rule), func(t *testing.T) {
			w := newRuleWorld(t, rule, denseCodec, 2, func(u []float32) []float32 { return slices.Repeat([]float32{-9}, len(u)) })
			if rule.Rule == "norm-clip" {
				t.Skip("its median is over all norms, by definition")
			}
			for i := range w.in {
				own := []uint32{0, 1, 2}[i%2 : 2+i%2] // 0 and 1, or 1 and 2
				w.in[i].Shards, w.in[i].Payloads = own, w.in[i].Payloads[own[0]:own[1]+1]
			}
			whole := *w
			got, _ := w.merge(t)
			for k := range 3 {
				lo, hi := w.spec.Codec.Shard(ruleParams, k)
				whole.theta, whole.in = w.theta[lo:hi], nil
				for _, c := range w.in {
					if place, own := protocol.PlaceOf(c.Shards, k); own {
						c.Shards, c.Payloads = nil, c.Payloads[place:place+1]
						whole.in = append(whole.in, c)
					}
				}
				want, _ := whole.merge(t)
				if !slices.Equal(bits(got[lo:hi]), bits(want)) {
					t.Errorf("shard %d of %d contributors differs", k, len(whole.in))
				}
			}
		})
	}
}

// Every rule and every outer optimiser has one result on every machine.
func TestGoldenMerges(t *testing.T) {
	h := sha256.New()
	for _, rule := range ruleCases {
		for _, outer := range []protocol.OuterSpec{
			{Optimiser: "sgd", LR: 1}, {Optimiser: "nesterov", LR: 0.7, Momentum: 0.9},
			{Optimiser: "fedadam", LR: 0.01, Momentum: 0.9, Beta2: 0.99, Tau: 1e-3},
			{Optimiser: "fedyogi", LR: 0.01, Momentum: 0.9, Beta2: 0.99, Tau: 1e-3},
		} {
			w := newRuleWorld(t, rule, denseCodec, 3, func(u []float32) []float32 { return slices.Repeat([]float32{3}, len(u)) })
			w.spec.Outer = outer
			theta, state := w.theta, make([]float32, outer.State(ruleParams))
			for range 2 {
				var err error
				if theta, state, _, err = aggregate.Merge(&w.spec, theta, state, w.in); err != nil {
					t.Fatal(err)
				}
			}
			for _, v := range [][]float32{theta, state} {
				root := aggregate.VectorRoot(v)
				h.Write(root[:])
			}
		}
	}
	const want = "f9981414ece7170be69b41e151eab917b052cf5b42eac7802d5bbf0be13c3bdc"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

func BenchmarkMergeRules(b *testing.B) {
	for _, codec := range []protocol.CodecSpec{denseCodec, sparseCodec} {
		for _, rule := range ruleCases {
			if codec.Up == "sparse" && rule.CoordinateRule() {
				continue
			}
			b.Run(codec.Up+" "+caseName(rule), func(b *testing.B) {
				w := newRuleWorld(b, rule, codec, 0, nil)
				for b.Loop() {
					w.merge(b)
				}
				b.ReportMetric(float64(len(w.in)*ruleParams)*float64(b.N)/b.Elapsed().Seconds(), "values/s")
			})
		}
	}
}

package aggregate_test

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/internal/delta"
	"drystone/protocol"
)

// round32 rounds an exact number to float32, to nearest even.
func round32(x *big.Float) float32 {
	f, _ := x.Float32()
	return f
}

func exact(x float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(x) }

// fma32 is a*b+c rounded once, in arbitrary precision. A zero result takes the sign of IEEE 754 addition.
func fma32(a, b, c float32) float32 {
	p := new(big.Float).SetPrec(300).Mul(exact(float64(a)), exact(float64(b)))
	sum := new(big.Float).SetPrec(300).Add(p, exact(float64(c)))
	if sum.Sign() == 0 {
		return a*b + c // exact in every case that reaches here: both terms are zero, or they cancel
	}
	return round32(sum)
}

func mul32(a, b float32) float32 {
	if a == 0 || b == 0 {
		return a * b
	}
	return round32(new(big.Float).SetPrec(300).Mul(exact(float64(a)), exact(float64(b))))
}

func add32(a, b float32) float32 {
	if a == 0 && b == 0 || a == -b {
		return a + b
	}
	return round32(new(big.Float).SetPrec(300).Add(exact(float64(a)), exact(float64(b))))
}

// reference is the merge of dense contributions as the documentation of Merge gives it, in arbitrary precision with every
// rounding explicit. It takes finite inputs whose result is finite.
func reference(spec *protocol.RunSpec, theta, outer []float32, updates [][]float32, steps []uint32) (t, m, w []float32) {
	var norms []float64
	total := uint64(0)
	for i, u := range updates {
		sum := 0.0
		for lo := 0; lo < len(u); lo += spec.Codec.ShardParams {
			shard := 0.0
			for c := lo; c < min(lo+spec.Codec.ShardParams, len(u)); c += 4096 {
				chunk := 0.0
				for _, x := range u[c:min(c+4096, lo+spec.Codec.ShardParams, len(u))] {
					sq := float64(x) * float64(x)
					chunk += sq
				}
				shard += chunk
			}
			sum += shard
		}
		norms = append(norms, math.Sqrt(sum))
		total += uint64(steps[i])
	}
	sorted := slices.Clone(norms)
	slices.Sort(sorted)
	limit := math.Inf(1)
	if spec.Aggregate.Rule == "norm-clip" {
		limit = spec.Aggregate.NormCap * sorted[(len(sorted)-1)/2]
	}
	acc := make([]float32, len(theta))
	for i, u := range updates {
		wi := float32(steps[i]) / float32(total)
		if norms[i] > limit {
			scale := limit / norms[i]
			wi = float32(float64(wi) * scale)
		}
		w = append(w, wi)
		for j, x := range u {
			if wi != 0 {
				acc[j] = fma32(wi, x, acc[j])
			}
		}
	}
	lr, mu := float32(spec.Outer.LR), float32(spec.Outer.Momentum)
	t, m = slices.Clone(theta), slices.Clone(outer)
	for j, u := range acc {
		step := u
		if spec.Outer.Optimiser == "nesterov" {
			m[j] = add32(mul32(mu, m[j]), u)
			if math.Abs(float64(m[j])) < 0x1p-126 {
				m[j] = 0
			}
			step = add32(u, mul32(mu, m[j]))
		}
		t[j] = add32(t[j], -mul32(lr, step))
	}
	return t, m, w
}

func dense(t tb, spec *protocol.RunSpec, u []float32) (payloads [][]byte) {
	t.Helper()
	c, err := delta.New(spec.Codec)
	if err != nil {
		t.Fatal(err)
	}
	for k := range spec.Codec.Shards(len(u)) {
		lo, hi := spec.Codec.Shard(len(u), k)
		p, err := c.Encode(nil, u[lo:hi], make([]float32, hi-lo))
		if err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	return payloads
}

func bits(v []float32) []uint32 {
	b := make([]uint32, len(v))
	for i, x := range v {
		b[i] = math.Float32bits(x)
	}
	return b
}

// Merge equals its documentation bit for bit: weights, clipping, the fold and both outer optimisers, over shards that
// divide the vector unevenly.
func TestMergeMatchesDefinition(t *testing.T) {
	w := aggtest.New(nil)
	rapid.Check(t, func(t *rapid.T) {
		spec := w.Spec
		if rapid.Bool().Draw(t, "mean") {
			spec.Aggregate.Rule, spec.Aggregate.NormCap = "mean", 0
		}
		if rapid.Bool().Draw(t, "sgd") {
			spec.Outer = protocol.OuterSpec{Optimiser: "sgd", LR: 1}
		}
		n := rapid.SampledFrom([]int{1, 7, 4096, 4100}).Draw(t, "n")
		seed := rapid.Uint64().Draw(t, "seed")
		vec := func(scale float32) []float32 {
			v := make([]float32, n)
			for i := range v {
				seed = seed*6364136223846793005 + 1442695040888963407
				v[i] = scale * (float32(int32(seed>>33)) / (1 << 30))
				if seed>>60 == 0 {
					v[i] *= 1e-38 // subnormals too
				}
			}
			return v
		}
		theta, outer := vec(1), []float32{}
		if spec.Outer.Optimiser == "nesterov" {
			outer = vec(0.1)
		}
		var cs []aggregate.Contribution
		var updates [][]float32
		var steps []uint32
		for i := range rapid.IntRange(1, 4).Draw(t, "peers") {
			u := vec(rapid.SampledFrom([]float32{0, 0.01, 0.1, 10}).Draw(t, "scale"))
			updates, steps = append(updates, u), append(steps, rapid.Uint32Range(1, 8).Draw(t, "steps"))
			cs = append(cs, aggregate.Contribution{Peer: w.Peers[i].ID(), Steps: steps[i], Payloads: dense(t, &spec, u)})
		}
		keepTheta, keepOuter := slices.Clone(theta), slices.Clone(outer)
		gotT, gotM, record, err := aggregate.Merge(&spec, theta, outer, cs)
		if err != nil {
			t.Fatal(err)
		}
		wantT, wantM, wantW := reference(&spec, theta, outer, updates, steps)
		if !slices.Equal(bits(gotT), bits(wantT)) || !slices.Equal(bits(gotM), bits(wantM)) {
			t.Fatal("other bits than the definition gives")
		}
		for i, r := range record {
			if r.Peer != cs[i].Peer || r.Weight != math.Float32bits(wantW[i]) {
				t.Fatalf("record %d: %+v, want weight %v", i, r, wantW[i])
			}
		}
		if !slices.Equal(bits(theta), bits(keepTheta)) || !slices.Equal(bits(outer), bits(keepOuter)) {
			t.Fatal("the inputs changed")
		}
	})
}

func weights(record []protocol.Merged) (w []float32) {
	for _, r := range record {
		w = append(w, math.Float32frombits(r.Weight))
	}
	return w
}

func TestMergeCases(t *testing.T) {
	w := aggtest.New(nil)
	spec := w.Spec
	ones, theta, outer := []float32{1, 1}, []float32{5, 5}, []float32{0, 0}
	con := func(i int, steps uint32, payload []byte) aggregate.Contribution {
		return aggregate.Contribution{Peer: w.Peers[i].ID(), Steps: steps, Payloads: [][]byte{payload}}
	}
	good := dense(t, &spec, ones)[0]
	nan := binary.LittleEndian.AppendUint32(slices.Clone(good[:4]), 0x7fc00000)
	huge := dense(t, &spec, []float32{math.MaxFloat32, math.MaxFloat32})[0]
	for _, c := range []struct {
		name  string
		in    []aggregate.Contribution
		want  []float32
		moved bool
	}{
		{"weights follow steps", []aggregate.Contribution{con(0, 6, good), con(1, 2, good)}, []float32{0.75, 0.25}, true},
		{"NaN is left out", []aggregate.Contribution{con(0, 6, good), con(1, 2, nan)}, []float32{1, 0}, true},
		{"a payload that does not decode is left out", []aggregate.Contribution{con(0, 6, good[:7]), con(1, 2, good)}, []float32{0, 1}, true},
		{"nobody is left", []aggregate.Contribution{con(0, 6, nan)}, []float32{0}, false},
		{"nobody came", nil, nil, false},
		{"an outlier is clipped to 3 medians", []aggregate.Contribution{con(0, 4, good), con(1, 4, dense(t, &spec, []float32{6, 6})[0])}, []float32{0.5, 0.25}, true},
		{"the result overflows", []aggregate.Contribution{con(0, 4, huge)}, []float32{0}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			gotT, gotM, record, err := aggregate.Merge(&spec, theta, outer, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := weights(record); !slices.Equal(got, c.want) {
				t.Errorf("weights %v, want %v", got, c.want)
			}
			if moved := !slices.Equal(gotT, theta) || !slices.Equal(gotM, outer); moved != c.moved {
				t.Errorf("moved = %v: %v %v", moved, gotT, gotM)
			}
		})
	}
	for name, in := range map[string][]aggregate.Contribution{
		"not ascending": {con(1, 1, good), con(0, 1, good)},
		"twice":         {con(1, 1, good), con(1, 1, good)},
		"no payload":    {{Peer: w.Peers[0].ID(), Steps: 1}},
		"no steps":      {con(0, 0, good)},
		"extra steps":   {con(0, 9, good)},
	} {
		if _, _, _, err := aggregate.Merge(&spec, theta, outer, in); !errors.Is(err, aggregate.ErrMergeInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, _, err := aggregate.Merge(&spec, theta, nil, nil); !errors.Is(err, aggregate.ErrMergeInput) {
		t.Errorf("no momentum: %v", err)
	}
}

// PyTorch's SGD with nesterov=True, by hand: lr 0.7, momentum 0.9, gradients 1 then 1.
func TestNesterovByHand(t *testing.T) {
	w := aggtest.New(nil)
	theta, outer := []float32{10}, []float32{0}
	in := []aggregate.Contribution{{Peer: w.Peers[0].ID(), Steps: 1, Payloads: dense(t, &w.Spec, []float32{1})}}
	for i, want := range []float64{10 - 0.7*1.9, 10 - 0.7*1.9 - 0.7*(1+0.9*1.9)} {
		var err error
		if theta, outer, _, err = aggregate.Merge(&w.Spec, theta, outer, in); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(theta[0])-want) > 1e-5 {
			t.Errorf("step %d: %v, want %v", i, theta[0], want)
		}
	}
}

// VectorRoot is the MerkleRoot of the bytes.
func TestVectorRoot(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 12289} {
		v := make([]float32, n)
		var b []byte
		for i := range v {
			v[i] = float32(i) / 3
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v[i]))
		}
		if aggregate.VectorRoot(v) != protocol.MerkleRoot(b) {
			t.Errorf("%d values", n)
		}
	}
}

func BenchmarkMerge(b *testing.B) {
	w := aggtest.New(nil)
	spec := w.Spec
	spec.Codec.ShardParams = 1 << 17
	n := 1 << 20
	theta, outer, u := make([]float32, n), make([]float32, n), make([]float32, n)
	for i := range u {
		u[i] = float32(i%97) / 97
	}
	var in []aggregate.Contribution
	for i := range 4 {
		in = append(in, aggregate.Contribution{Peer: w.Peers[i].ID(), Steps: 8, Payloads: dense(b, &spec, u)})
	}
	for b.Loop() {
		if _, _, _, err := aggregate.Merge(&spec, theta, outer, in); err != nil {
			b.Fatal(err)
		}
	}
}

package models

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// specs are small models that between them use every branch of the graph.
var specs = map[string]protocol.ModelSpec{
	"plain": {Family: "llama", Dim: 8, Layers: 2, Heads: 2, KVHeads: 2, FFN: 12, Vocab: 11, Context: 5, NormEps: 1e-5, RopeTheta: 10000},
	"gqa":   {Family: "llama", Dim: 16, Layers: 1, Heads: 4, KVHeads: 2, FFN: 10, Vocab: 7, Context: 6, NormEps: 1e-5, RopeTheta: 100},
	"mqa":   {Family: "llama", Dim: 12, Layers: 2, Heads: 3, KVHeads: 1, FFN: 6, Vocab: 9, Context: 4, NormEps: 1e-6, RopeTheta: 10000},
	"tied":  {Family: "llama", Dim: 8, Layers: 2, Heads: 2, KVHeads: 1, FFN: 9, Vocab: 10, Context: 5, NormEps: 1e-5, RopeTheta: 10000, Tied: true},
	"one":   {Family: "llama", Dim: 2, Layers: 1, Heads: 1, KVHeads: 1, FFN: 1, Vocab: 2, Context: 1, NormEps: 1e-5, RopeTheta: 1},
}

// small is the model that the benchmark and the demo train: 0.92 M parameters.
var small = protocol.ModelSpec{Family: "llama", Dim: 128, Layers: 4, Heads: 4, KVHeads: 4, FFN: 384, Vocab: 256, Context: 128,
	NormEps: 1e-5, RopeTheta: 10000}

func engine(t testing.TB, threads int, path string) *exact.Engine {
	t.Helper()
	e, err := exact.NewPath(threads, path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// fresh returns a model with weights drawn by Init, enlarged so that every part of the gradient matters.
func fresh(t testing.TB, spec protocol.ModelSpec, eng *exact.Engine, batch int) *Model {
	t.Helper()
	m, err := New(spec, eng, batch, Options{})
	if err != nil {
		t.Fatal(err)
	}
	theta, err := Init(spec, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	copy(m.Params(), theta)
	return m
}

func wholeGradient(t testing.TB, spec protocol.ModelSpec) *gradient {
	_, total, err := Layout(spec)
	if err != nil {
		t.Fatal(err)
	}
	return newGradient([]Range{{0, total}}, exact.Floats)
}

// text returns n tokens and n targets below vocab.
func text(seed uint64, n, vocab int) (tokens, targets []int32) {
	r := rand.New(rand.NewPCG(seed, 2))
	for range n {
		tokens, targets = append(tokens, r.Int32N(int32(vocab))), append(targets, r.Int32N(int32(vocab)))
	}
	return tokens, targets
}

// enlarge multiplies the matrices of theta so that softmax, silu and norms leave their linear range.
func enlarge(theta []float32) {
	for i, v := range theta {
		if v != 1 {
			theta[i] = 20 * v
		} else {
			theta[i] = 1 + float32(i%5)/8
		}
	}
}

// closeTo fails unless got is want to within tol relative to the largest element of want.
func closeTo(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(want))
	}
	scale := 1e-3
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	for i := range got {
		if diff := math.Abs(float64(got[i]) - want[i]); !(diff <= tol*scale) {
			t.Fatalf("%s: element %d of %d is %g, want %g (off by %.2g of the largest)", what, i, len(got), got[i], want[i], diff/scale)
		}
	}
}

// digest is the SHA-256 of the bits of x.
func digest(x ...[]float32) string {
	h := sha256.New()
	var b [4]byte
	for _, s := range x {
		for _, v := range s {
			binary.LittleEndian.PutUint32(b[:], math.Float32bits(v))
			h.Write(b[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// bestPath is the fastest code path of this processor.
func bestPath() string { p := exact.Paths(); return p[len(p)-1] }

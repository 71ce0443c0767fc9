package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"drystone/internal/exact"
	"drystone/models"
	"drystone/protocol"
)

// The graph of stock operations computes the function that models computes: its loss and its gradients are ours, and so
// is its loss after steps of training.
func TestStockIsTheSameModel(t *testing.T) {
	spec := protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 2, Heads: 2, KVHeads: 2, FFN: 24, Vocab: 19, Context: 7, NormEps: 1e-5, RopeTheta: 10000}
	const batch = 3
	eng, err := exact.NewPath(1, exact.PathRef)
	if err != nil {
		t.Fatal(err)
	}
	defer eng.Close()
	ours, err := models.New(spec, eng, batch, models.Options{})
	if err != nil {
		t.Fatal(err)
	}
	theta, err := models.Init(spec, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range theta { // larger weights: softmax and silu leave their linear range
		if theta[i] != 1 {
			theta[i] *= 20
		}
	}
	stock, err := newStock(spec, batch)
	if err != nil {
		t.Fatal(err)
	}
	defer stock.close()
	rng := rand.New(rand.NewPCG(1, 2))
	tokens, targets := make([]int32, stock.rows()), make([]int32, stock.rows())
	h := exact.AdamWParams{LR: 1e-2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1}
	m, v := make([]float32, len(theta)), make([]float32, len(theta))
	copy(ours.Params(), theta)
	stock.load(theta)
	for step := range 5 {
		for i := range tokens {
			tokens[i], targets[i] = rng.Int32N(19), rng.Int32N(19)
		}
		want, err := ours.Step(models.Inputs{Tokens: tokens, Targets: targets})
		if err != nil {
			t.Fatal(err)
		}
		h.Step = step + 1
		got, err := stock.step(tokens, targets, 1, h)
		if err != nil {
			t.Fatal(err)
		}
		if d := math.Abs(float64(got - want)); !(d < 1e-4) {
			t.Fatalf("step %d: loss %v, ours is %v", step, got, want)
		}
		for _, p := range stock.params {
			grad := p.grad.Value().Data().([]float32)
			for i, x := range ours.Grads()[p.Offset : p.Offset+p.Len] {
				at := i
				if p.transposed() {
					at = i%p.Shape[1]*p.Shape[0] + i/p.Shape[1]
				}
				if d := math.Abs(float64(grad[at] - x)); !(d < 1e-4) {
					t.Fatalf("step %d: gradient of %s at %d is %v, ours is %v", step, p.Name, i, grad[at], x)
				}
			}
		}
		update(eng, ours, m, v, h)
	}
}

// update is trainer's step after the gradient: clipping to norm 1, and AdamW with decay on matrices only.
func update(eng *exact.Engine, model *models.Model, m, v []float32, h exact.AdamWParams) {
	theta, grads := model.Params(), model.Grads()
	if norm := float32(math.Sqrt(float64(eng.SumSquares(grads)))); norm > 1 {
		eng.Scale(grads, grads, 1/norm)
	}
	layout, _, _ := models.Layout(model.Spec())
	for _, p := range layout {
		lo, hi := p.Offset, p.Offset+p.Len
		one := h
		if len(p.Shape) == 1 {
			one.WeightDecay = 0
		}
		eng.AdamWStep(theta[lo:hi], grads[lo:hi], m[lo:hi], v[lo:hi], one)
	}
}

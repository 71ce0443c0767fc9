package models

import (
	"math"
	"sync"
	"testing"
)

// TestStepAgainstFloat64 checks loss, logits and the whole gradient against the float64 decoder of reference_test.go.
func TestStepAgainstFloat64(t *testing.T) {
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			const batch = 2
			m := fresh(t, spec, engine(t, 2, "ref"), batch)
			enlarge(m.Params())
			tokens, targets := text(7, batch*spec.Context, spec.Vocab)
			loss, err := m.Step(Inputs{Tokens: tokens, Targets: targets})
			if err != nil {
				t.Fatal(err)
			}
			theta := widen(m.Params())
			ref := func() float64 {
				return refCrossEntropy(refLogits(spec, theta, tokens, batch), targets, spec.Vocab)
			}
			closeTo(t, "loss", []float32{loss}, []float64{ref()}, 1e-5)
			closeTo(t, "gradient", m.Grads(), centralDifferences(theta, ref), 2e-5)

			again, err := m.Loss(Inputs{Tokens: tokens, Targets: targets})
			if err != nil || math.Float32bits(again) != math.Float32bits(loss) {
				t.Fatalf("Loss = %v, %v; Step said %v", again, err, loss)
			}
			one := tokens[:spec.Context]
			logits, err := m.Logits(one)
			if err != nil {
				t.Fatal(err)
			}
			closeTo(t, "logits", logits, refLogits(spec, theta, one, 1), 1e-5)
		})
	}
}

// TestModelsSideBySide: models with engines of their own run at once, and are built at once, with one result.
func TestModelsSideBySide(t *testing.T) {
	spec := specs["gqa"]
	tokens, targets := text(1, spec.Context, spec.Vocab)
	results := make([]string, 4)
	var wg sync.WaitGroup
	for i := range results {
		eng := engine(t, 1+i%2, bestPath())
		wg.Go(func() {
			m := fresh(t, spec, eng, 1)
			for range 3 {
				if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
					t.Error(err)
				}
			}
			if _, err := m.Loss(Inputs{Tokens: tokens, Targets: targets}); err != nil {
				t.Error(err)
			}
			results[i] = digest(m.Grads())
		})
	}
	wg.Wait()
	for _, r := range results {
		if r != results[0] {
			t.Errorf("digests %v", results)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	const batch = 16
	eng := engine(b, 2, bestPath())
	m := fresh(b, small, eng, batch)
	tokens, targets := text(1, batch*small.Context, small.Vocab)
	if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(tokens)*b.N)/b.Elapsed().Seconds(), "tokens/s")
}

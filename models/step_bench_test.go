package models

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"drystone/internal/exact"
	"drystone/protocol"
)

type benchModel struct {
	name  string
	batch int
	spec  protocol.ModelSpec
}

// benchModels are the two decoders whose speed is published.
var benchModels = []benchModel{
	{"llama-1m", 16, protocol.ModelSpec{Family: "llama", Dim: 128, Layers: 4, Heads: 4, KVHeads: 4, FFN: 384, Vocab: 256, Context: 128, NormEps: 1e-5, RopeTheta: 10000}},
	{"llama-11m", 8, protocol.ModelSpec{Family: "llama", Dim: 384, Layers: 6, Heads: 6, KVHeads: 6, FFN: 1024, Vocab: 256, Context: 256, NormEps: 1e-5, RopeTheta: 10000}},
}

// BenchmarkModels is forward and backward without the optimiser.
func BenchmarkModels(b *testing.B) {
	for _, m := range benchModels {
		for _, threads := range []int{1, runtime.NumCPU()} {
			b.Run(fmt.Sprintf("%s/%d", m.name, threads), func(b *testing.B) {
				eng, err := exact.New(threads)
				if err != nil {
					b.Fatal(err)
				}
				defer eng.Close()
				model, err := New(m.spec, eng, m.batch, Options{})
				if err != nil {
					b.Fatal(err)
				}
				theta, err := Init(m.spec, [32]byte{1})
				if err != nil {
					b.Fatal(err)
				}
				copy(model.Params(), theta)
				n := m.batch * m.spec.Context
				tokens, targets := make([]int32, n), make([]int32, n)
				rng := rand.New(rand.NewPCG(1, 2))
				for i := range tokens {
					tokens[i], targets[i] = rng.Int32N(256), rng.Int32N(256)
				}
				best := time.Hour
				b.ReportAllocs()
				for range b.N {
					start := time.Now()
					if _, err := model.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
						b.Fatal(err)
					}
					best = min(best, time.Since(start))
				}
				b.ReportMetric(float64(n)/best.Seconds(), "best-tokens/s")
			})
		}
	}
}

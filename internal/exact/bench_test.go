package exact

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// gemmShapes are squares and the products of the demo model (d=128, ffn=384,
// vocabulary 256, 1024 tokens a step): forward, input gradient, weight gradient.
var gemmShapes = []struct {
	name           string
	transA, transB bool
	m, n, k        int
}{
	{"256", false, false, 256, 256, 256},
	{"512", false, false, 512, 512, 512},
	{"768", false, false, 768, 768, 768},
	{"1024", false, false, 1024, 1024, 1024},
	{"1024NT", false, true, 1024, 1024, 1024},
	{"1024TN", true, false, 1024, 1024, 1024},
	{"attnFwd", false, true, 1024, 128, 128},
	{"attnDX", false, false, 1024, 128, 128},
	{"attnDW", true, false, 128, 128, 1024},
	{"ffnFwd", false, true, 1024, 384, 128},
	{"ffnDX", false, false, 1024, 128, 384},
	{"ffnDW", true, false, 384, 128, 1024},
	{"headFwd", false, true, 1024, 256, 128},
}

func benchEngines(b *testing.B, run func(b *testing.B, e *Engine)) {
	for _, path := range Paths() {
		for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
			if threads > 1 && path == PathRef {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", path, threads), func(b *testing.B) {
				e := mustEngine(b, threads, path)
				defer e.Close()
				run(b, e)
			})
		}
	}
}

func randoms(n int) []float32 {
	rng := rand.New(rand.NewPCG(3, 4))
	x := Floats(n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func BenchmarkGemm(b *testing.B) {
	for _, s := range gemmShapes {
		b.Run(s.name, func(b *testing.B) {
			benchEngines(b, func(b *testing.B, e *Engine) {
				if e.Path() == PathRef && s.m*s.n*s.k > 1<<24 {
					b.Skip("slow")
				}
				lda, ldb := s.k, s.n
				if s.transA {
					lda = s.m
				}
				if s.transB {
					ldb = s.k
				}
				x, y, z := randoms(s.m*s.k), randoms(s.k*s.n), make([]float32, s.m*s.n)
				flops := 2 * float64(s.m) * float64(s.n) * float64(s.k)
				best := time.Hour // other programs slow down the mean
				b.ResetTimer()
				for range b.N {
					start := time.Now()
					e.Gemm(s.transA, s.transB, s.m, s.n, s.k, x, lda, y, ldb, z, s.n, false)
					best = min(best, time.Since(start))
				}
				b.ReportMetric(flops*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				b.ReportMetric(flops/best.Seconds()/1e9, "best-GFLOP/s")
			})
		})
	}
}

// The shapes of the demo model at 1024 tokens: batch 8, sequence 128.
func BenchmarkKernels(b *testing.B) {
	const batch, seq, heads, hd, dim, ffn, vocab = 8, 128, 4, 32, 128, 384, 256
	const tokens = batch * seq
	x, y, z, u, v := randoms(tokens*ffn), randoms(tokens*ffn), randoms(tokens*ffn), randoms(tokens*ffn), randoms(tokens*ffn)
	w := make([]float32, tokens*ffn)
	rstd, sum := make([]float32, tokens*heads), make([]float32, tokens*heads)
	ids := make([]int32, tokens)
	for i := range ids {
		ids[i] = int32(i * 7 % vocab)
	}
	cos, sin := RopeTable(seq, hd, 10000)
	p, g, m, vv := randoms(1<<20), randoms(1<<20), make([]float32, 1<<20), make([]float32, 1<<20)
	for _, k := range []struct {
		name string
		run  func(e *Engine)
	}{
		{"RMSNorm", func(e *Engine) { e.RMSNorm(y, x, v[:dim], rstd, tokens, dim, 1e-5) }},
		{"RMSNormBackward", func(e *Engine) { e.RMSNormBackward(y, w[:dim], z, x, v[:dim], rstd, tokens, dim) }},
		{"SwiGLU", func(e *Engine) { e.SwiGLU(y, x, z) }},
		{"SwiGLUBackward", func(e *Engine) { e.SwiGLUBackward(y, w, x, z, u) }},
		{"Rope", func(e *Engine) { e.Rope(y, x, cos, sin, batch, seq, heads, hd, false) }},
		{"Attention", func(e *Engine) { e.Attention(y, x, z, u, rstd, sum, batch, seq, heads, heads, hd) }},
		{"AttentionBackward", func(e *Engine) {
			e.Attention(y, x, z, u, rstd, sum, batch, seq, heads, heads, hd)
			n := tokens * dim
			e.AttentionBackward(w[:n], w[n:2*n], w[2*n:], v, x, z, u, y, rstd, sum, batch, seq, heads, heads, hd)
		}},
		{"CrossEntropy", func(e *Engine) { e.CrossEntropy(x, ids, tokens, vocab, sum, y) }},
		{"Gather", func(e *Engine) { e.Gather(y, x, ids, dim) }},
		{"ScatterAdd", func(e *Engine) { e.ScatterAdd(y, x, ids, vocab, dim) }},
		{"Add", func(e *Engine) { e.Add(y[:tokens*dim], x, z) }},
		{"SumSquares1M", func(e *Engine) { e.SumSquares(p) }},
		{"AdamW1M", func(e *Engine) {
			e.AdamWStep(p, g, m, vv, AdamWParams{LR: 1e-6, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: 10})
		}},
	} {
		b.Run(k.name, func(b *testing.B) {
			benchEngines(b, func(b *testing.B, e *Engine) {
				if testing.Short() && e.Path() == PathRef {
					b.Skip("slow")
				}
				b.ReportAllocs()
				for range b.N {
					k.run(e)
				}
			})
		})
	}
}

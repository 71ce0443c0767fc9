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
	mean, index := make([]float32, tokens), make([]int32, tokens*ffn)
	conv := ConvShape{Batch: 16, Height: 14, Width: 14, Channels: 32, KernelH: 3, KernelW: 3, Stride: 1, Pad: 1}
	pool := conv
	pool.KernelH, pool.KernelW, pool.Stride, pool.Pad = 2, 2, 2, 0
	col := randoms(conv.Rows() * conv.Cols())
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
		{"LayerNorm", func(e *Engine) { e.LayerNorm(y, x, v[:dim], u[:dim], mean, rstd, tokens, dim, 1e-5) }},
		{"LayerNormBackward", func(e *Engine) {
			e.LayerNormBackward(y, w[:dim], w[dim:2*dim], z, x, v[:dim], mean, rstd, tokens, dim, false)
		}},
		{"AddBias", func(e *Engine) { e.AddBias(y, x, v[:dim], tokens, dim) }},
		{"BiasBackward", func(e *Engine) { e.BiasBackward(w[:dim], x, tokens, dim, false) }},
		{"GELU", func(e *Engine) { e.GELU(y, x) }},
		{"GELUBackward", func(e *Engine) { e.GELUBackward(y, z, x) }},
		{"ReLU", func(e *Engine) { e.ReLU(y, x) }},
		{"ReLUBackward", func(e *Engine) { e.ReLUBackward(y, z, x) }},
		{"Im2Col", func(e *Engine) { e.Im2Col(col, x, conv) }},
		{"Col2Im", func(e *Engine) { e.Col2Im(y, col, conv) }},
		{"MaxPool", func(e *Engine) { e.MaxPool(y, index, x, pool) }},
		{"MaxPoolBackward", func(e *Engine) { e.MaxPoolBackward(y, z, index, pool) }},
		{"AvgPool", func(e *Engine) { e.AvgPool(y, x, pool) }},
		{"AvgPoolBackward", func(e *Engine) { e.AvgPoolBackward(y, z, pool) }},
		{"SquaredError", func(e *Engine) { e.SquaredError(x, z, tokens, dim, mean, y, tokens) }},
		{"ArgMaxRows", func(e *Engine) { e.ArgMaxRows(index, x, tokens, vocab) }},
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

package exact

import "testing"

// stepModel is the demo model: the kernels of one training step in order, on
// buffers that are reused from layer to layer. Its values mean nothing.
type stepModel struct {
	batch, seq, heads, dim, ffn, vocab, layers int
	x, h, q, k, v, o, f, g, u, d               []float32
	wd, wf, wv, gain, rstd, max, sum, logits   []float32
	cos, sin, p, grad, m1, m2                  []float32
	dq, dk, dv, df, dg, du                     []float32
	ids                                        []int32
}

func newStepModel(batch int) *stepModel {
	s := &stepModel{batch: batch, seq: 128, heads: 4, dim: 128, ffn: 384, vocab: 256, layers: 4}
	n := batch * s.seq
	for _, p := range []*[]float32{&s.x, &s.h, &s.q, &s.k, &s.v, &s.o, &s.d, &s.dq, &s.dk, &s.dv} {
		*p = randoms(n * s.dim)
	}
	for _, p := range []*[]float32{&s.f, &s.g, &s.u, &s.df, &s.dg, &s.du} {
		*p = randoms(n * s.ffn)
	}
	s.wd, s.wf, s.wv, s.gain = randoms(s.dim*s.dim), randoms(s.dim*s.ffn), randoms(s.dim*s.vocab), randoms(s.dim)
	for _, w := range [][]float32{s.wd, s.wf, s.wv} {
		for i := range w {
			w[i] *= 0.05
		}
	}
	s.rstd, s.max, s.sum = make([]float32, n), make([]float32, n*s.heads), make([]float32, n*s.heads)
	s.logits = make([]float32, n*s.vocab)
	s.cos, s.sin = RopeTable(s.seq, s.dim/s.heads, 10000)
	s.p, s.grad, s.m1, s.m2 = randoms(920_000), randoms(920_000), make([]float32, 920_000), make([]float32, 920_000)
	s.ids = make([]int32, n)
	for i := range s.ids {
		s.ids[i] = int32(i * 31 % s.vocab)
	}
	return s
}

// linear is y = x wᵀ; linearGrad is dx = dy w and dw = dyᵀ x.
func (s *stepModel) linear(e *Engine, y, x, w []float32, in, out int) {
	e.Gemm(false, true, s.batch*s.seq, out, in, x, in, w, in, y, out, false)
}

func (s *stepModel) linearGrad(e *Engine, dx, dw, dy, x, w []float32, in, out int) {
	n := s.batch * s.seq
	e.Gemm(false, false, n, in, out, dy, out, w, in, dx, in, false)
	e.Gemm(true, false, out, in, n, dy, out, x, in, dw, in, false)
}

func (s *stepModel) step(e *Engine) {
	n, hd, dw := s.batch*s.seq, s.dim/s.heads, s.grad
	e.Gather(s.x, s.wv, s.ids, s.dim)
	for range s.layers {
		e.RMSNorm(s.h, s.x, s.gain, s.rstd, n, s.dim, 1e-5)
		for _, y := range [][]float32{s.q, s.k, s.v} {
			s.linear(e, y, s.h, s.wd, s.dim, s.dim)
		}
		e.Rope(s.q, s.q, s.cos, s.sin, s.batch, s.seq, s.heads, hd, false)
		e.Rope(s.k, s.k, s.cos, s.sin, s.batch, s.seq, s.heads, hd, false)
		e.Attention(s.o, s.q, s.k, s.v, s.max, s.sum, s.batch, s.seq, s.heads, s.heads, hd)
		s.linear(e, s.h, s.o, s.wd, s.dim, s.dim)
		e.Add(s.x, s.x, s.h)
		e.RMSNorm(s.h, s.x, s.gain, s.rstd, n, s.dim, 1e-5)
		s.linear(e, s.g, s.h, s.wf, s.dim, s.ffn)
		s.linear(e, s.u, s.h, s.wf, s.dim, s.ffn)
		e.SwiGLU(s.f, s.g, s.u)
		s.linear(e, s.h, s.f, s.wf, s.ffn, s.dim)
		e.Add(s.x, s.x, s.h)
	}
	e.RMSNorm(s.h, s.x, s.gain, s.rstd, n, s.dim, 1e-5)
	s.linear(e, s.logits, s.h, s.wv, s.dim, s.vocab)
	e.CrossEntropy(s.logits, s.ids, n, s.vocab, s.rstd, s.logits)
	s.linearGrad(e, s.d, dw, s.logits, s.h, s.wv, s.dim, s.vocab)
	for range s.layers {
		s.linearGrad(e, s.df, dw, s.d, s.f, s.wf, s.ffn, s.dim)
		e.SwiGLUBackward(s.dg, s.du, s.df, s.g, s.u)
		s.linearGrad(e, s.h, dw, s.dg, s.x, s.wf, s.dim, s.ffn)
		s.linearGrad(e, s.h, dw, s.du, s.x, s.wf, s.dim, s.ffn)
		e.Add(s.d, s.d, s.h)
		e.RMSNormBackward(s.d, dw, s.d, s.x, s.gain, s.rstd, n, s.dim)
		e.Add(s.d, s.d, s.h)
		s.linearGrad(e, s.h, dw, s.d, s.o, s.wd, s.dim, s.dim)
		e.AttentionBackward(s.dq, s.dk, s.dv, s.h, s.q, s.k, s.v, s.o, s.max, s.sum, s.batch, s.seq, s.heads, s.heads, hd)
		e.Rope(s.dq, s.dq, s.cos, s.sin, s.batch, s.seq, s.heads, hd, true)
		e.Rope(s.dk, s.dk, s.cos, s.sin, s.batch, s.seq, s.heads, hd, true)
		for _, y := range [][]float32{s.dq, s.dk, s.dv} {
			s.linearGrad(e, s.h, dw, y, s.x, s.wd, s.dim, s.dim)
			e.Add(s.d, s.d, s.h)
		}
		e.RMSNormBackward(s.d, dw, s.d, s.x, s.gain, s.rstd, n, s.dim)
	}
	e.ScatterAdd(dw, s.d, s.ids, s.vocab, s.dim)
	e.SumSquares(s.grad)
	e.AdamWStep(s.p, s.grad, s.m1, s.m2, AdamWParams{LR: 1e-9, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Step: 3})
}

// BenchmarkStep is a training step of the demo model without its graph.
func BenchmarkStep(b *testing.B) {
	benchEngines(b, func(b *testing.B, e *Engine) {
		if e.Path() == PathRef {
			b.Skip("slow")
		}
		s := newStepModel(8)
		b.ResetTimer()
		for range b.N {
			s.step(e)
		}
		b.ReportMetric(float64(b.N*s.batch*s.seq)/b.Elapsed().Seconds(), "tokens/s")
	})
}

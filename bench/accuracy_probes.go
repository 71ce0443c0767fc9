package main

import (
	"fmt"

	"drystone/internal/exact"
	"drystone/internal/speed"
)

// kernelProbes calls every kernel that rounds once, at sizes of the larger reference model.
func kernelProbes(eng *exact.Engine, src *source) []*probe {
	var ps []*probe
	for _, x := range append(speed.Models()[1].Products()[:6], speed.Product{Name: "long fold", M: 256, N: 256, K: 8192}) {
		ps = append(ps, gemmProbe(eng, src, x))
	}
	return append(ps, otherProbes(eng, src, 1024, 384, 1<<17)...)
}

// otherProbes calls the kernels other than Gemm on matrices (rows, dim) and vectors of n elements. rows is a multiple of
// 128, and dim of 64.
func otherProbes(eng *exact.Engine, src *source, rows, dim, n int) []*probe {
	return append([]*probe{
		rmsnormProbe(eng, src, rows, dim),
		layernormProbe(eng, src, rows, dim),
		swigluProbe(eng, src, n),
		geluProbe(eng, src, n),
		convProbe(eng, src, exact.ConvShape{Batch: rows / 128, Height: 14, Width: 14, Channels: 16, KernelH: 3, KernelW: 3, Stride: 1, Pad: 1}, 32),
		attentionProbe(eng, src, rows/128, 128, dim/64, 64),
		crossEntropyProbe(eng, src, rows, 256),
		embeddingProbe(eng, src, rows, 64, dim),
		adamwProbe(eng, src, n),
	}, functionProbes(src, n)...)
}

func gemmProbe(eng *exact.Engine, src *source, x speed.Product) *probe {
	p := &probe{Name: fmt.Sprintf("gemm %s (%dx%dx%d)", x.Name, x.M, x.N, x.K), Kernel: "gemm",
		Args: map[string]any{"transA": x.TransA, "transB": x.TransB}}
	as, bs := []int{x.M, x.K}, []int{x.K, x.N}
	if x.TransA {
		as = []int{x.K, x.M}
	}
	if x.TransB {
		bs = []int{x.N, x.K}
	}
	a, b := p.floats("a", src.normals(x.M*x.K), as...), p.floats("b", src.normals(x.K*x.N), bs...)
	eng.Gemm(x.TransA, x.TransB, x.M, x.N, x.K, a, as[1], b, bs[1], p.out("c", x.M, x.N), x.N, false)
	return p
}

func rmsnormProbe(eng *exact.Engine, src *source, rows, dim int) *probe {
	const eps = 0x1p-17
	p := &probe{Name: "rmsnorm", Kernel: "rmsnorm", Args: map[string]any{"eps": eps}}
	x, gain := p.floats("x", src.normals(rows*dim), rows, dim), p.floats("gain", src.normals(dim), dim)
	dy, rstd := p.floats("dy", src.normals(rows*dim), rows, dim), make([]float32, rows)
	eng.RMSNorm(p.out("y", rows, dim), x, gain, rstd, rows, dim, eps)
	eng.RMSNormBackward(p.out("dx", rows, dim), p.out("dgain", dim), dy, x, gain, rstd, rows, dim)
	return p
}

func layernormProbe(eng *exact.Engine, src *source, rows, dim int) *probe {
	const eps = 0x1p-17
	p := &probe{Name: "layernorm", Kernel: "layernorm", Args: map[string]any{"eps": eps}}
	x, gain, bias := p.floats("x", src.normals(rows*dim), rows, dim), p.floats("gain", src.normals(dim), dim), p.floats("bias", src.normals(dim), dim)
	dy, mean, rstd := p.floats("dy", src.normals(rows*dim), rows, dim), make([]float32, rows), make([]float32, rows)
	eng.LayerNorm(p.out("y", rows, dim), x, gain, bias, mean, rstd, rows, dim, eps)
	eng.LayerNormBackward(p.out("dx", rows, dim), p.out("dgain", dim), p.out("dbias", dim), dy, x, gain, mean, rstd, rows, dim, false)
	return p
}

func geluProbe(eng *exact.Engine, src *source, n int) *probe {
	p := &probe{Name: "gelu", Kernel: "gelu"}
	x, dy := p.floats("x", src.normals(n), n), p.floats("dy", src.normals(n), n)
	eng.GELU(p.out("y", n), x)
	eng.GELUBackward(p.out("dx", n), dy, x)
	return p
}

// convProbe is a convolution without bias to so many channels, and both its gradients.
func convProbe(eng *exact.Engine, src *source, s exact.ConvShape, channels int) *probe {
	p := &probe{Name: "convolution", Kernel: "conv", Args: map[string]any{"stride": s.Stride, "pad": s.Pad}}
	images, filters, out := []int{s.Batch, s.Height, s.Width, s.Channels}, []int{channels, s.KernelH, s.KernelW, s.Channels}, []int{s.Batch, s.OutH(), s.OutW(), channels}
	rows, cols := s.Rows(), s.Cols()
	x := p.floats("x", src.normals(s.Batch*s.Height*s.Width*s.Channels), images...)
	w, dy := p.floats("w", src.normals(channels*cols), filters...), p.floats("dy", src.normals(rows*channels), out...)
	col, dcol := make([]float32, rows*cols), make([]float32, rows*cols)
	eng.Im2Col(col, x, s)
	eng.Gemm(false, true, rows, channels, cols, col, cols, w, cols, p.out("y", out...), channels, false)
	eng.Gemm(false, false, rows, cols, channels, dy, channels, w, cols, dcol, cols, false)
	eng.Col2Im(p.out("dx", images...), dcol, s)
	eng.Gemm(true, false, channels, cols, rows, dy, channels, col, cols, p.out("dw", filters...), cols, false)
	return p
}

func swigluProbe(eng *exact.Engine, src *source, n int) *probe {
	p := &probe{Name: "swiglu", Kernel: "swiglu"}
	gate, up, dy := p.floats("gate", src.normals(n), n), p.floats("up", src.normals(n), n), p.floats("dy", src.normals(n), n)
	eng.SwiGLU(p.out("y", n), gate, up)
	eng.SwiGLUBackward(p.out("dgate", n), p.out("dup", n), dy, gate, up)
	return p
}

func attentionProbe(eng *exact.Engine, src *source, batch, seq, heads, hd int) *probe {
	p := &probe{Name: "attention", Kernel: "attention"}
	shape, n, rows := []int{batch, seq, heads, hd}, batch*seq*heads*hd, batch*heads*seq
	q, k, v := p.floats("q", src.normals(n), shape...), p.floats("k", src.normals(n), shape...), p.floats("v", src.normals(n), shape...)
	do, m, l := p.floats("do", src.normals(n), shape...), make([]float32, rows), make([]float32, rows)
	o := p.out("o", shape...)
	eng.Attention(o, q, k, v, m, l, batch, seq, heads, heads, hd)
	eng.AttentionBackward(p.out("dq", shape...), p.out("dk", shape...), p.out("dv", shape...), do, q, k, v, o, m, l, batch, seq, heads, heads, hd)
	return p
}

func crossEntropyProbe(eng *exact.Engine, src *source, rows, vocab int) *probe {
	p := &probe{Name: "softmax and cross-entropy", Kernel: "crossentropy"}
	logits, targets := p.floats("logits", src.normals(rows*vocab), rows, vocab), p.ints("targets", src.below(rows, vocab))
	for i := range logits {
		logits[i] *= 4 // some rows are sure, some are not
	}
	eng.CrossEntropy(logits, targets, rows, vocab, p.out("losses", rows), p.out("dlogits", rows, vocab))
	return p
}

// embeddingProbe is the gradient of an embedding: many rows are added to few.
func embeddingProbe(eng *exact.Engine, src *source, rows, vocab, dim int) *probe {
	p := &probe{Name: "embedding", Kernel: "embedding", Args: map[string]any{"vocab": vocab}}
	dy, ids := p.floats("dy", src.normals(rows*dim), rows, dim), p.ints("ids", src.below(rows, vocab))
	eng.ScatterAdd(p.out("dtable", vocab, dim), dy, ids, vocab, dim)
	return p
}

// adamwProbe uses settings that are exact in float32 and in decimal, so that both sides have the same.
func adamwProbe(eng *exact.Engine, src *source, n int) *probe {
	h := exact.AdamWParams{LR: 0x1p-10, Beta1: 0.90625, Beta2: 0.953125, Eps: 0x1p-27, WeightDecay: 0.125, Step: 17}
	p := &probe{Name: "adamw", Kernel: "adamw", Args: map[string]any{"lr": h.LR, "beta1": h.Beta1, "beta2": h.Beta2, "eps": h.Eps,
		"decay": h.WeightDecay, "step": h.Step}}
	param, g := p.floats("p", src.normals(n), n), p.floats("g", src.normals(n), n)
	m, v := p.floats("m", src.normals(n), n), p.floats("v", src.normals(n), n)
	for i := range v {
		v[i] *= v[i]
	}
	op, om, ov := p.out("p", n), p.out("m", n), p.out("v", n)
	copy(op, param)
	copy(om, m)
	copy(ov, v)
	eng.AdamWStep(op, g, om, ov, h)
	return p
}

// functionProbes are the elementary functions over their range.
func functionProbes(src *source, n int) []*probe {
	var ps []*probe
	for _, f := range []struct {
		name   string
		f      func(float32) float32
		lo, hi float32
	}{
		{"exp", exact.Exp, -87, 88}, {"log", exact.Log, 0, 1000}, {"tanh", exact.Tanh, -10, 10},
		{"sigmoid", exact.Sigmoid, -80, 80}, {"silu", exact.Silu, -80, 80},
	} {
		p := &probe{Name: f.name, Kernel: f.name, Relative: true}
		x := make([]float32, n)
		for i := range x {
			x[i] = f.lo + float32((f.hi-f.lo)*src.unit())
		}
		p.floats("x", x, n)
		y := p.out("y", n)
		for i := range y {
			y[i] = f.f(x[i])
		}
		ps = append(ps, p)
	}
	return ps
}

package accuracy

import (
	"math"

	"drystone/internal/exact"
	"drystone/internal/exact/f64"
)

const elements = 1 << 16

func swiGLU() Case {
	s := newSource(11)
	gate, up, dy := s.normal("gate", 3, elements), s.normal("up", 1, elements), s.normal("dy", 1, elements)
	return Case{
		Kernel: "SwiGLU", Inputs: []Tensor{gate, up, dy}, Outputs: []string{"y", "dgate", "dup"},
		Run: func(e *exact.Engine) [][]float32 {
			y, dg, du := zeros(elements), zeros(elements), zeros(elements)
			e.SwiGLU(y, gate.Data, up.Data)
			e.SwiGLUBackward(dg, du, dy.Data, gate.Data, up.Data)
			return [][]float32{y, dg, du}
		},
		Want: func() [][]float64 {
			dg, du := f64.SwiGLUBackward(dy.wide(), gate.wide(), up.wide())
			return [][]float64{f64.SwiGLU(gate.wide(), up.wide()), dg, du}
		},
	}
}

func gelu() Case {
	s := newSource(12)
	x, dy := s.normal("x", 2, elements), s.normal("dy", 1, elements)
	return Case{
		Kernel: "GELU", Inputs: []Tensor{x, dy}, Outputs: []string{"y", "dx"},
		Run: func(e *exact.Engine) [][]float32 {
			y, dx := zeros(elements), zeros(elements)
			e.GELU(y, x.Data)
			e.GELUBackward(dx, dy.Data, x.Data)
			return [][]float32{y, dx}
		},
		Want: func() [][]float64 { return [][]float64{f64.GELU(x.wide()), f64.GELUBackward(dy.wide(), x.wide())} },
	}
}

func relu() Case {
	s := newSource(13)
	x, dy := s.normal("x", 1, elements), s.normal("dy", 1, elements)
	return Case{
		Kernel: "ReLU", Inputs: []Tensor{x, dy}, Outputs: []string{"y", "dx"},
		Run: func(e *exact.Engine) [][]float32 {
			y, dx := zeros(elements), zeros(elements)
			e.ReLU(y, x.Data)
			e.ReLUBackward(dx, dy.Data, x.Data)
			return [][]float32{y, dx}
		},
		Want: func() [][]float64 { return [][]float64{f64.ReLU(x.wide()), f64.ReLUBackward(dy.wide(), x.wide())} },
	}
}

func adamW() Case {
	s := newSource(14)
	p, g, m, v := s.normal("p", 1, elements), s.normal("g", 1, elements), s.normal("m", 0.1, elements), s.normal("v", 0.1, elements)
	for i := range v.Data {
		v.Data[i] *= v.Data[i]
	}
	h := exact.AdamWParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: 10}
	wide := f64.AdamW{
		LR: float64(h.LR), Beta1: float64(h.Beta1), Beta2: float64(h.Beta2), Eps: float64(h.Eps),
		WeightDecay: float64(h.WeightDecay), Step: h.Step,
	}
	return Case{
		Kernel: "AdamW", Inputs: []Tensor{p, g, m, v}, Outputs: []string{"p", "m", "v"},
		Attrs: map[string]float64{
			"lr": wide.LR, "beta1": wide.Beta1, "beta2": wide.Beta2, "eps": wide.Eps, "decay": wide.WeightDecay, "step": float64(h.Step),
		},
		Run: func(e *exact.Engine) [][]float32 {
			p, m, v := clone(p.Data), clone(m.Data), clone(v.Data)
			e.AdamWStep(p, g.Data, m, v, h)
			return [][]float32{p, m, v}
		},
		Want: func() [][]float64 {
			p, m, v := p.wide(), m.wide(), v.wide()
			f64.AdamWStep(p, g.wide(), m, v, wide)
			return [][]float64{p, m, v}
		},
	}
}

func clone(x []float32) []float32 { return append([]float32(nil), x...) }

func rope() Case {
	const batch, seq, heads, dim, theta = 1, 512, 4, 64, 10000.0
	x := newSource(15).normal("x", 1, batch, seq, heads, dim)
	return Case{
		Kernel: "Rope", Attrs: map[string]float64{"theta": theta}, Inputs: []Tensor{x}, Outputs: []string{"y"},
		Run: func(e *exact.Engine) [][]float32 {
			y := zeros(batch, seq, heads, dim)
			cos, sin := exact.RopeTable(seq, dim, theta)
			e.Rope(y, x.Data, cos, sin, batch, seq, heads, dim, false)
			return [][]float32{y}
		},
		Want: func() [][]float64 { return [][]float64{f64.Rope(x.wide(), batch, seq, heads, dim, theta, false)} },
	}
}

func attention() Case {
	h := f64.Heads{Batch: 1, Seq: 256, Heads: 4, KVHeads: 2, Dim: 64}
	s := newSource(16)
	q, k := s.normal("q", math.Sqrt2, h.Batch, h.Seq, h.Heads, h.Dim), s.normal("k", math.Sqrt2, h.Batch, h.Seq, h.KVHeads, h.Dim)
	v, do := s.normal("v", 1, h.Batch, h.Seq, h.KVHeads, h.Dim), s.normal("dy", 1, h.Batch, h.Seq, h.Heads, h.Dim)
	return Case{
		Kernel: "Attention", Inputs: []Tensor{q, k, v, do}, Outputs: []string{"y", "dq", "dk", "dv"},
		Run: func(e *exact.Engine) [][]float32 {
			o, dq, dk, dv := zeros(q.Shape...), zeros(q.Shape...), zeros(k.Shape...), zeros(k.Shape...)
			m, l := zeros(h.Batch, h.Heads, h.Seq), zeros(h.Batch, h.Heads, h.Seq)
			e.Attention(o, q.Data, k.Data, v.Data, m, l, h.Batch, h.Seq, h.Heads, h.KVHeads, h.Dim)
			e.AttentionBackward(dq, dk, dv, do.Data, q.Data, k.Data, v.Data, o, m, l, h.Batch, h.Seq, h.Heads, h.KVHeads, h.Dim)
			return [][]float32{o, dq, dk, dv}
		},
		Want: func() [][]float64 {
			dq, dk, dv := f64.AttentionBackward(do.wide(), q.wide(), k.wide(), v.wide(), h)
			return [][]float64{f64.Attention(q.wide(), k.wide(), v.wide(), h), dq, dk, dv}
		},
	}
}

package accuracy

import (
	"drystone/internal/exact"
	"drystone/internal/exact/f64"
)

// eps32 is the constant of norms as kernels take it.
const eps32 = float32(1e-5)

var eps64 = map[string]float64{"eps": float64(eps32)}

func gemm() Case {
	const m, n, k = 64, 96, 2048
	s := newSource(1)
	a, b := s.normal("a", 1, m, k), s.normal("b", 1, k, n)
	return Case{
		Kernel: "Gemm", Inputs: []Tensor{a, b}, Outputs: []string{"c"},
		Run: func(e *exact.Engine) [][]float32 {
			c := zeros(m, n)
			e.Gemm(false, false, m, n, k, a.Data, k, b.Data, n, c, n, false)
			return [][]float32{c}
		},
		Want: func() [][]float64 { return [][]float64{f64.Gemm(false, false, m, n, k, a.wide(), b.wide())} },
	}
}

func sums() Case {
	const n = 1 << 20
	x := newSource(2).normal("x", 1, n)
	for i := range x.Data {
		x.Data[i] += 1 // the sum is not an accident of signs
	}
	return Case{
		Kernel: "Sum", Inputs: []Tensor{x}, Outputs: []string{"sum", "squares"},
		Run: func(e *exact.Engine) [][]float32 { return [][]float32{{e.Sum(x.Data)}, {e.SumSquares(x.Data)}} },
		Want: func() [][]float64 {
			w := x.wide()
			return [][]float64{{f64.Sum(w)}, {f64.Dot(w, w)}}
		},
	}
}

const normRows, normDim = 1024, 384

func rmsNorm() Case {
	s := newSource(3)
	x, gain, dy := s.normal("x", 1, normRows, normDim), s.normal("gain", 1, normDim), s.normal("dy", 1, normRows, normDim)
	return Case{
		Kernel: "RMSNorm", Attrs: eps64, Inputs: []Tensor{x, gain, dy}, Outputs: []string{"y", "dx", "dgain"},
		Run: func(e *exact.Engine) [][]float32 {
			y, r, dx, dg := zeros(normRows, normDim), zeros(normRows), zeros(normRows, normDim), zeros(normDim)
			e.RMSNorm(y, x.Data, gain.Data, r, normRows, normDim, eps32)
			e.RMSNormBackward(dx, dg, dy.Data, x.Data, gain.Data, r, normRows, normDim)
			return [][]float32{y, dx, dg}
		},
		Want: func() [][]float64 {
			y := f64.RMSNorm(x.wide(), gain.wide(), normRows, normDim, eps64["eps"])
			dx, dg := f64.RMSNormBackward(dy.wide(), x.wide(), gain.wide(), normRows, normDim, eps64["eps"])
			return [][]float64{y, dx, dg}
		},
	}
}

func layerNorm() Case {
	s := newSource(4)
	x, gain, bias := s.normal("x", 1, normRows, normDim), s.normal("gain", 1, normDim), s.normal("bias", 1, normDim)
	dy := s.normal("dy", 1, normRows, normDim)
	return Case{
		Kernel: "LayerNorm", Attrs: eps64, Inputs: []Tensor{x, gain, bias, dy}, Outputs: []string{"y", "dx", "dgain", "dbias"},
		Run: func(e *exact.Engine) [][]float32 {
			y, m, r := zeros(normRows, normDim), zeros(normRows), zeros(normRows)
			dx, dg, db := zeros(normRows, normDim), zeros(normDim), zeros(normDim)
			e.LayerNorm(y, x.Data, gain.Data, bias.Data, m, r, normRows, normDim, eps32)
			e.LayerNormBackward(dx, dg, db, dy.Data, x.Data, gain.Data, m, r, normRows, normDim, false)
			return [][]float32{y, dx, dg, db}
		},
		Want: func() [][]float64 {
			y := f64.LayerNorm(x.wide(), gain.wide(), bias.wide(), normRows, normDim, eps64["eps"])
			dx, dg, db := f64.LayerNormBackward(dy.wide(), x.wide(), gain.wide(), normRows, normDim, eps64["eps"])
			return [][]float64{y, dx, dg, db}
		},
	}
}

func bias() Case {
	const rows, dim = 8192, 48
	s := newSource(5)
	x, b, dy := s.normal("x", 1, rows, dim), s.normal("bias", 1, dim), s.normal("dy", 1, rows, dim)
	return Case{
		Kernel: "AddBias", Inputs: []Tensor{x, b, dy}, Outputs: []string{"y", "dbias"},
		Run: func(e *exact.Engine) [][]float32 {
			y, db := zeros(rows, dim), zeros(dim)
			e.AddBias(y, x.Data, b.Data, rows, dim)
			e.BiasBackward(db, dy.Data, rows, dim, false)
			return [][]float32{y, db}
		},
		Want: func() [][]float64 {
			return [][]float64{f64.AddBias(x.wide(), b.wide(), rows, dim), f64.BiasBackward(dy.wide(), rows, dim)}
		},
	}
}

func crossEntropy() Case {
	const rows, vocab = 256, 4096
	s := newSource(6)
	x, targets := s.normal("logits", 2, rows, vocab), s.ints(rows, vocab)
	return Case{
		Kernel: "CrossEntropy", Inputs: []Tensor{x}, Indices: targets, Outputs: []string{"losses", "dlogits"},
		Run: func(e *exact.Engine) [][]float32 {
			losses, d := zeros(rows), zeros(rows, vocab)
			e.CrossEntropy(x.Data, targets, rows, vocab, losses, d)
			return [][]float32{losses, d}
		},
		Want: func() [][]float64 {
			losses, d := f64.CrossEntropy(x.wide(), targets, rows, vocab)
			return [][]float64{losses, d}
		},
	}
}

func squaredError() Case {
	const rows, dim = 256, 384
	s := newSource(7)
	pred, target := s.normal("pred", 1, rows, dim), s.normal("target", 1, rows, dim)
	return Case{
		Kernel: "SquaredError", Inputs: []Tensor{pred, target}, Outputs: []string{"losses", "dpred"},
		Run: func(e *exact.Engine) [][]float32 {
			losses, d := zeros(rows), zeros(rows, dim)
			e.SquaredError(pred.Data, target.Data, rows, dim, losses, d, rows)
			return [][]float32{losses, d}
		},
		Want: func() [][]float64 {
			losses, d := f64.SquaredError(pred.wide(), target.wide(), rows, dim, rows)
			return [][]float64{losses, d}
		},
	}
}

func scatterAdd() Case {
	const rows, vocab, dim = 4096, 64, 48
	s := newSource(8)
	dy, ids := s.normal("dy", 1, rows, dim), s.ints(rows, vocab)
	return Case{
		Kernel: "ScatterAdd", Attrs: map[string]float64{"vocab": vocab}, Inputs: []Tensor{dy}, Indices: ids, Outputs: []string{"dtable"},
		Run: func(e *exact.Engine) [][]float32 {
			d := zeros(vocab, dim)
			e.ScatterAdd(d, dy.Data, ids, vocab, dim)
			return [][]float32{d}
		},
		Want: func() [][]float64 { return [][]float64{f64.ScatterAdd(dy.wide(), ids, vocab, dim)} },
	}
}

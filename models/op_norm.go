package models

import G "gorgonia.org/gorgonia"

// rmsnorm returns y = x * rstd * gain with rstd = 1 / sqrt(mean(x²) + eps) per row (Zhang and Sennrich 2019), for
// x (rows, dim) and gain (dim). The forward op keeps rstd for its derivative.
func (e env) rmsnorm(name string, rows, dim int, eps float32) *op {
	rstd := e.keep(rows)
	o := e.op("rmsnorm", name, eps)
	o.args, o.out = []arg{matrix(rows, dim), vector(dim)}, matrix(rows, dim)
	o.run = func(y []float32, v []G.Value) {
		e.RMSNorm(y, f32(v[0]), f32(v[1]), rstd, rows, dim, eps)
	}
	o.wrt = []bool{true, true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		var gain []float32
		if o.wrt[1] {
			gain = e.keep(dim)
		}
		dx, err := apply(e.rmsnormInput(name, rows, dim, rstd, gain, false), dy, v[0], v[1])
		if err != nil || !o.wrt[1] {
			return G.Nodes{dx, nil}, err
		}
		dgain, err := apply(e.leftover("rmsnorm.dgain", name, matrix(rows, dim), vector(dim), gain), dx)
		return G.Nodes{dx, dgain}, err
	}
	return o
}

// rmsnormInput returns dx, or with plus the sum of a fourth operand and dx. It leaves the gradient of the gain in dgain,
// unless that is nil: the same pass over memory yields it.
func (e env) rmsnormInput(name string, rows, dim int, rstd, dgain []float32, plus bool) *op {
	x := matrix(rows, dim)
	o := e.op("rmsnorm.dx", name, plus)
	o.args, o.out = []arg{x, x, vector(dim)}, x
	o.overwrites = 0
	if plus {
		o.args = append(o.args, x)
	} else {
		o.plus = func() *op { return e.rmsnormInput(name, rows, dim, rstd, dgain, true) }
	}
	o.run = func(dx []float32, v []G.Value) {
		var more []float32
		if plus {
			more = f32(v[3])
		}
		e.RMSNormBackwardAdd(dx, dgain, more, f32(v[0]), f32(v[1]), f32(v[2]), rstd, rows, dim, !e.run.first())
	}
	return o
}

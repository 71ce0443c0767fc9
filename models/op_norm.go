package models

import G "gorgonia.org/gorgonia"

// rmsnorm returns y = x * rstd * gain with rstd = 1 / sqrt(mean(x²) + eps) per row (Zhang and Sennrich 2019), for
// x (rows, dim) and gain (dim). The forward op keeps rstd for its derivative.
func (e env) rmsnorm(name string, rows, dim int, eps float32) *op {
	rstd := make([]float32, rows)
	o := e.op("rmsnorm", name, eps)
	o.args, o.out = []arg{matrix(rows, dim), vector(dim)}, matrix(rows, dim)
	o.run = func(y []float32, v []G.Value) {
		e.RMSNorm(y, f32(v[0]), f32(v[1]), rstd, rows, dim, eps)
	}
	o.wrt = []bool{true, true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		gain := make([]float32, dim)
		dx, err := apply(e.rmsnormInput(name, rows, dim, rstd, gain), dy, v[0], v[1])
		if err != nil {
			return nil, err
		}
		dgain, err := apply(e.leftover("rmsnorm.dgain", name, matrix(rows, dim), vector(dim), gain), dx)
		return G.Nodes{dx, dgain}, err
	}
	return o
}

// rmsnormInput returns dx, and leaves the gradient of the gain in dgain, which the same pass over memory yields.
func (e env) rmsnormInput(name string, rows, dim int, rstd, dgain []float32) *op {
	o := e.op("rmsnorm.dx", name)
	o.args, o.out = []arg{matrix(rows, dim), matrix(rows, dim), vector(dim)}, matrix(rows, dim)
	o.overwrites = 0
	o.run = func(dx []float32, v []G.Value) {
		e.RMSNormBackward(dx, dgain, f32(v[0]), f32(v[1]), f32(v[2]), rstd, rows, dim)
	}
	return o
}

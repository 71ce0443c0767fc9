package models

import G "gorgonia.org/gorgonia"

// swiglu returns y (rows, width) = silu(gate) * up for gate and up packed in one (rows, 2*width) matrix (Shazeer 2020).
func (e env) swiglu(name string, rows, width int) *op {
	n := rows * width
	o := e.op("swiglu", name)
	o.args, o.out = []arg{matrix(rows, 2*width)}, matrix(rows, width)
	o.run = func(y []float32, v []G.Value) {
		x := f32(v[0])
		e.SwiGLU(y, x[:n], x[n:])
	}
	o.wrt = []bool{true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		b := e.op("swiglu.dx", name)
		b.args, b.out = []arg{matrix(rows, width), matrix(rows, 2*width)}, matrix(rows, 2*width)
		b.overwrites = 1
		b.run = func(dx []float32, v []G.Value) {
			dy, x := f32(v[0]), f32(v[1])
			e.SwiGLUBackward(dx[:n], dx[n:], dy, x[:n], x[n:])
		}
		dx, err := apply(b, dy, v[0])
		return G.Nodes{dx}, err
	}
	return o
}

package models

import G "gorgonia.org/gorgonia"

// affine returns y = x Wᵀ + bias for x (rows, in), W (out, in) and bias (out): the product is folded first, then the bias
// added. The gradient of the bias folds over rows.
func (e env) affine(name string, rows, in, out int) *op {
	o := e.op("affine", name)
	o.args, o.out = []arg{matrix(rows, in), matrix(out, in), vector(out)}, matrix(rows, out)
	o.run = func(y []float32, v []G.Value) {
		e.Gemm(false, true, rows, out, in, f32(v[0]), in, f32(v[1]), in, y, out, false)
		e.AddBias(y, y, f32(v[2]), rows, out)
	}
	o.wrt = []bool{true, true, true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (grads G.Nodes, err error) {
		grads = make(G.Nodes, 3)
		if o.wrt[0] {
			if grads[0], err = apply(e.linearInput(name, rows, in, []int{out}), dy, v[1]); err != nil {
				return nil, err
			}
		}
		if o.wrt[1] {
			if grads[1], err = apply(e.linearWeight(name, rows, in, []int{out}), dy, v[0]); err != nil {
				return nil, err
			}
		}
		if o.wrt[2] {
			grads[2], err = e.affineBias(name, rows, out, dy)
		}
		return grads, err
	}
	return o
}

// affineBias returns the gradient of the bias. Its fold over the rows of a batch is kept from pass to pass as a whole, and
// what is trained of it is taken from there.
func (e env) affineBias(name string, rows, out int, dy *G.Node) (*G.Node, error) {
	sums := e.op("affine.sums", name)
	sums.args, sums.out, sums.memory = []arg{matrix(rows, out)}, vector(out), e.keep(out)
	sums.run = func(y []float32, v []G.Value) { e.BiasBackward(y, f32(v[0]), rows, out, !e.run.first()) }
	n, err := apply(sums, dy)
	if err != nil {
		return nil, err
	}
	return apply(e.leftover("affine.dbias", name, vector(out), vector(out), sums.memory), n)
}

// gelu returns the tanh form of the Gaussian error linear unit (Hendrycks and Gimpel 2016) of x (rows, dim).
func (e env) gelu(name string, rows, dim int) *op {
	return e.activation("gelu", name, matrix(rows, dim), e.GELU, e.GELUBackward)
}

// relu returns max(x, 0) of x (rows, dim).
func (e env) relu(name string, rows, dim int) *op {
	return e.activation("relu", name, matrix(rows, dim), e.ReLU, e.ReLUBackward)
}

// activation returns y = f(x), element by element, with dx = g(dy, x), which takes the place of dy where that dies.
func (e env) activation(kind, name string, a arg, f func(y, x []float32), g func(dx, dy, x []float32)) *op {
	o := e.op(kind, name)
	o.args, o.out = []arg{a}, a
	o.run = func(y []float32, v []G.Value) { f(y, f32(v[0])) }
	o.wrt = []bool{true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		b := e.op(kind+".dx", name)
		b.args, b.out = []arg{a, a}, a
		b.overwrites = 0
		b.run = func(dx []float32, v []G.Value) { g(dx, f32(v[0]), f32(v[1])) }
		dx, err := apply(b, dy, v[0])
		return G.Nodes{dx}, err
	}
	return o
}

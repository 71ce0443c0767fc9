package models

import G "gorgonia.org/gorgonia"

// linear returns y = x Wᵀ for x (rows, in) and W (sum of outs, in).
//
// With several outs, W stacks that many matrices W_j (outs[j], in) and y is packed: the products x W_jᵀ lie one after
// the other, each row-major, in the memory of a (rows, sum of outs) matrix. One node thus has several results, and q, k
// and v, or gate and up, need neither a split nor a sum of gradients:
//
//	y = | x W_0ᵀ (rows, outs[0]) | x W_1ᵀ (rows, outs[1]) | ...
//
// The gradients are dW_j = dy_jᵀ x and dx = dy_0 W_0 + dy_1 W_1 + ..., added in that order.
func (e env) linear(name string, rows, in int, outs ...int) *op {
	total := sum(outs)
	o := e.op("linear", name, outs)
	o.args, o.out = []arg{matrix(rows, in), matrix(total, in)}, matrix(rows, total)
	o.run = func(y []float32, v []G.Value) {
		x, w := f32(v[0]), f32(v[1])
		for _, n := range outs {
			e.Gemm(false, true, rows, n, in, x, in, w, in, y, n, false)
			w, y = w[n*in:], y[rows*n:]
		}
	}
	o.wrt = []bool{true, true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		dx, err := apply(e.linearInput(name, rows, in, outs), dy, v[1])
		if err != nil {
			return nil, err
		}
		dw, err := apply(e.linearWeight(name, rows, in, outs), dy, v[0])
		return G.Nodes{dx, dw}, err
	}
	return o
}

// residual returns y = r + x Wᵀ for r (rows, out), x (rows, in), W (out, in): the product is folded first, then added.
// The gradient of r is dy itself.
func (e env) residual(name string, rows, in, out int) *op {
	o := e.op("residual", name)
	o.args, o.out = []arg{matrix(rows, out), matrix(rows, in), matrix(out, in)}, matrix(rows, out)
	o.run = func(y []float32, v []G.Value) {
		e.Gemm(false, true, rows, out, in, f32(v[1]), in, f32(v[2]), in, y, out, false)
		e.Add(y, f32(v[0]), y)
	}
	o.wrt = []bool{true, true, true}
	o.diff = func(v G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		dx, err := apply(e.linearInput(name, rows, in, []int{out}), dy, v[2])
		if err != nil {
			return nil, err
		}
		dw, err := apply(e.linearWeight(name, rows, in, []int{out}), dy, v[1])
		return G.Nodes{dy, dx, dw}, err
	}
	return o
}

// linearInput returns dx = sum of dy_j W_j over ascending j, for packed dy.
func (e env) linearInput(name string, rows, in int, outs []int) *op {
	total := sum(outs)
	o := e.op("linear.dx", name, outs)
	o.args, o.out = []arg{matrix(rows, total), matrix(total, in)}, matrix(rows, in)
	o.run = func(dx []float32, v []G.Value) {
		dy, w := f32(v[0]), f32(v[1])
		for j, n := range outs {
			e.Gemm(false, false, rows, in, n, dy, n, w, in, dx, in, j > 0)
			dy, w = dy[rows*n:], w[n*in:]
		}
	}
	return o
}

// linearWeight returns dW, stacked like W, for packed dy. It folds over rows.
func (e env) linearWeight(name string, rows, in int, outs []int) *op {
	total := sum(outs)
	o := e.op("linear.dw", name, outs)
	o.args, o.out = []arg{matrix(rows, total), matrix(rows, in)}, matrix(total, in)
	o.part = func(dw []float32, v []G.Value, want Range) {
		dy, x, at := f32(v[0]), f32(v[1]), 0
		for _, n := range outs {
			if r := want.meet(Range{at, at + n}); r.Len() > 0 {
				e.Gemm(true, false, r.Len(), in, rows, dy[r.Lo-at:], n, x, in, dw, in, !e.run.first())
				dw = dw[r.Len()*in:]
			}
			dy, at = dy[rows*n:], at+n
		}
	}
	o.run = func(dw []float32, v []G.Value) { o.part(dw, v, Range{0, total}) }
	return o
}

func sum(ns []int) int {
	total := 0
	for _, n := range ns {
		total += n
	}
	return total
}

package exact

type unaryOp int

const (
	opReLU unaryOp = iota
	opReLUGrad
	opGELU
	opGELUGrad
)

// unaryArgs are the operands of an activation or its gradient: y from x, or from
// d and x.
type unaryArgs struct {
	op      unaryOp
	y, d, x []float32
}

// ReLU computes over len(y) elements y = +0 where x < 0 and x elsewhere, so that
// a NaN and a zero of either sign are themselves. y may be x.
func (e *Engine) ReLU(y, x []float32) {
	need("ReLU", "x", len(x), len(y))
	e.activation(unaryArgs{op: opReLU, y: y, x: x})
}

// ReLUBackward computes over len(dx) elements dx = dy where x > 0, +0 where
// x <= 0, NaN where x is NaN. dx may be dy or x.
func (e *Engine) ReLUBackward(dx, dy, x []float32) {
	need("ReLUBackward", "dy", len(dy), len(dx))
	need("ReLUBackward", "x", len(x), len(dx))
	e.activation(unaryArgs{op: opReLUGrad, y: dx, d: dy, x: x})
}

func (e *Engine) activation(a unaryArgs) {
	e.args.unary = a
	e.pool.run(e, pieces(len(a.y), pieceElems/4), func(e *Engine, _, i int) {
		a := &e.args.unary
		lo, hi := span(i, pieceElems/4, len(a.y))
		if e.vec != nil {
			e.vecActivation(a, lo, hi)
			return
		}
		refActivation(a, lo, hi)
	})
}

func refActivation(a *unaryArgs, lo, hi int) {
	for i := lo; i < hi; i++ {
		x := a.x[i]
		switch a.op {
		case opReLU:
			a.y[i] = refReLU(x)
		case opReLUGrad:
			a.y[i] = refReLUGrad(a.d[i], x)
		case opGELU:
			a.y[i] = Gelu(x)
		case opGELUGrad:
			a.y[i] = a.d[i] * geluGrad(x)
		}
	}
}

func refReLU(x float32) float32 {
	if x < 0 {
		return 0
	}
	return x
}

func refReLUGrad(dy, x float32) float32 {
	switch {
	case x != x:
		return x
	case x > 0:
		return dy
	default:
		return 0
	}
}

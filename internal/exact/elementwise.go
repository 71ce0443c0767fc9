package exact

import "math"

var negInf = float32(math.Inf(-1))

type elemOp int

const (
	opAdd elemOp = iota
	opSub
	opScale
	opFMA
)

type elemArgs struct {
	op      elemOp
	y, a, b []float32
	s       float32
}

// Add computes y = a+b over len(y) elements. y may alias a or b.
func (e *Engine) Add(y, a, b []float32) {
	need("Add", "a", len(a), len(y))
	need("Add", "b", len(b), len(y))
	e.elementwise(elemArgs{op: opAdd, y: y, a: a, b: b})
}

// Sub computes y = a-b over len(y) elements. y may alias a or b.
func (e *Engine) Sub(y, a, b []float32) {
	need("Sub", "a", len(a), len(y))
	need("Sub", "b", len(b), len(y))
	e.elementwise(elemArgs{op: opSub, y: y, a: a, b: b})
}

// Scale computes y = x*s over len(y) elements. y may alias x.
func (e *Engine) Scale(y, x []float32, s float32) {
	need("Scale", "x", len(x), len(y))
	e.elementwise(elemArgs{op: opScale, y: y, a: x, b: x, s: s})
}

// FMA computes y = fma(s, x, y), rounded once, over len(y) elements. y may be x.
func (e *Engine) FMA(y []float32, s float32, x []float32) {
	need("FMA", "x", len(x), len(y))
	e.elementwise(elemArgs{op: opFMA, y: y, a: x, b: x, s: s})
}

func (e *Engine) elementwise(a elemArgs) {
	e.args.elem = a
	e.pool.run(e, pieces(len(a.y), pieceElems), func(e *Engine, _, i int) {
		a := &e.args.elem
		lo, hi := span(i, pieceElems, len(a.y))
		if e.vec != nil {
			e.vecElementwise(a, lo, hi)
			return
		}
		refElementwise(a.op, a.y[lo:hi], a.a[lo:hi], a.b[lo:hi], a.s)
	})
}

func refElementwise(op elemOp, y, a, b []float32, s float32) {
	for i := range y {
		switch op {
		case opAdd:
			y[i] = a[i] + b[i]
		case opSub:
			y[i] = a[i] - b[i]
		case opScale:
			y[i] = a[i] * s
		case opFMA:
			y[i] = FMA32(s, a[i], y[i])
		}
	}
}

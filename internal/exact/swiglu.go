package exact

type actArgs struct {
	y, gate, up   []float32
	dgate, dup, d []float32
}

// SwiGLU computes y = silu(gate)*up (Shazeer, "GLU variants improve
// transformer", 2020). All have len(y) elements. y may alias gate or up.
func (e *Engine) SwiGLU(y, gate, up []float32) {
	const kernel = "SwiGLU"
	need(kernel, "gate", len(gate), len(y))
	need(kernel, "up", len(up), len(y))
	e.args.act = actArgs{y: y, gate: gate, up: up}
	e.pool.run(e, pieces(len(y), pieceElems/4), func(e *Engine, _, i int) {
		a := &e.args.act
		lo, hi := span(i, pieceElems/4, len(a.y))
		if e.vec != nil {
			e.vecSwiGLU(a, lo, hi)
			return
		}
		for j := lo; j < hi; j++ {
			a.y[j] = Silu(a.gate[j]) * a.up[j]
		}
	})
}

// SwiGLUBackward computes dgate and dup from dy and the inputs of SwiGLU, all of
// len(dy) elements:
//
//	s = sigmoid(gate), a = silu(gate)
//	dup = dy*a,  dgate = (dy*up) * fma(a, 1-s, s)
//
// dgate and dup may alias gate, up or dy element by element.
func (e *Engine) SwiGLUBackward(dgate, dup, dy, gate, up []float32) {
	const kernel = "SwiGLUBackward"
	need(kernel, "dgate", len(dgate), len(dy))
	need(kernel, "dup", len(dup), len(dy))
	need(kernel, "gate", len(gate), len(dy))
	need(kernel, "up", len(up), len(dy))
	e.args.act = actArgs{dgate: dgate, dup: dup, d: dy, gate: gate, up: up}
	e.pool.run(e, pieces(len(dy), pieceElems/4), func(e *Engine, _, i int) {
		a := &e.args.act
		lo, hi := span(i, pieceElems/4, len(a.d))
		if e.vec != nil {
			e.vecSwiGLUBackward(a, lo, hi)
			return
		}
		for j := lo; j < hi; j++ {
			a.dgate[j], a.dup[j] = refSwiGLUGrad(a.d[j], a.gate[j], a.up[j])
		}
	})
}

func refSwiGLUGrad(dy, gate, up float32) (dgate, dup float32) {
	s, a := sigmoidSilu(gate)
	return float32(dy*up) * FMA32(a, 1-s, s), dy * a
}

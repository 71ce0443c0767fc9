package exact

type ropeArgs struct {
	y, x, cos, sin []float32
	tokens, seq    int
	heads, half    int
	inverse        bool
}

// Rope rotates x (batch,seq,heads,headDim) into y (rotary position embedding, Su
// et al., 2021). Element i of the first half of a head is paired with element i
// of the second half, as in Llama checkpoints; position t takes row t of cos and
// sin (at least seq rows of headDim/2, from RopeTable):
//
//	y1 = fma(x1, cos, -(x2*sin)),  y2 = fma(x2, cos, x1*sin)
//
// inverse takes -sin, which is the backward pass. y may be x.
func (e *Engine) Rope(y, x, cos, sin []float32, batch, seq, heads, headDim int, inverse bool) {
	const kernel = "Rope"
	require(batch >= 0 && seq >= 0 && heads >= 0 && headDim >= 0 && headDim%2 == 0, kernel, "bad dimension")
	size := batch * seq * heads * headDim
	need(kernel, "y", len(y), size)
	need(kernel, "x", len(x), size)
	need(kernel, "cos", len(cos), seq*headDim/2)
	need(kernel, "sin", len(sin), seq*headDim/2)
	if size == 0 {
		return
	}
	e.args.rope = ropeArgs{y, x, cos, sin, batch * seq, seq, heads, headDim / 2, inverse}
	e.pool.run(e, pieces(batch*seq, rowsPerPiece(heads*headDim)), func(e *Engine, _, i int) {
		a := &e.args.rope
		lo, hi := span(i, rowsPerPiece(a.heads*a.half*2), a.tokens)
		for t := lo; t < hi; t++ {
			if e.vec != nil {
				e.vecRopeToken(a, t)
			} else {
				refRopeToken(a, t)
			}
		}
	})
}

func refRopeToken(a *ropeArgs, t int) {
	cos, sin := a.cos[t%a.seq*a.half:][:a.half], a.sin[t%a.seq*a.half:][:a.half]
	for h := range a.heads {
		at := (t*a.heads + h) * 2 * a.half
		refRopeHead(a.y[at:][:2*a.half], a.x[at:][:2*a.half], cos, sin, a.inverse)
	}
}

func refRopeHead(y, x, cos, sin []float32, inverse bool) {
	half := len(cos)
	for i, c := range cos {
		s := sin[i]
		if inverse {
			s = -s
		}
		x1, x2 := x[i], x[i+half]
		y[i] = FMA32(x1, c, -float32(x2*s))
		y[i+half] = FMA32(x2, c, float32(x1*s))
	}
}

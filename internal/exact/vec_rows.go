package exact

// This file drives the SIMD kernels that walk along rows and elements. Each
// method does what the reference of the same kernel does, to the bit.

// Rows in blocks of sixteen: blocks16 whole ones and a tail.
func blocks16(n int) (blocks, done int) { return n / lanes, n / lanes * lanes }

// blockSum is the fold of at most rowBlock elements of x.
func (e *Engine) blockSum(x []float32, w int) float32 {
	l := &e.scratch[w].lanes
	*l = rowLanes{}
	n16, done := blocks16(len(x))
	if n16 > 0 {
		e.vec.sumLanes(&x[0], n16, (*[lanes]float32)(l))
	}
	for i, v := range x[done:] {
		l[i] += v
	}
	return l.tree()
}

// blockDot is the fold of fma(x, y, acc) over at most rowBlock elements.
func (e *Engine) blockDot(x, y []float32, w int) float32 {
	l := &e.scratch[w].lanes
	*l = rowLanes{}
	n16, done := blocks16(len(x))
	if n16 > 0 {
		e.vec.dotLanes(&x[0], &y[0], n16, (*[lanes]float32)(l))
	}
	for i := done; i < len(x); i++ {
		l[i-done] = FMA32(x[i], y[i], l[i-done])
	}
	return l.tree()
}

// rowFold joins the block results of a row of n elements; block folds [lo,hi).
type blockFold func(e *Engine, r *rowJob, lo, hi int) float32

// rowJob names the operands of a row fold; unused ones are nil.
type rowJob struct {
	x, y, z []float32
	s       float32
	w       int
}

// rowFold is refRowFold with a block fold of at most rowBlock elements.
func (e *Engine) rowFold(r *rowJob, n int, block blockFold) float32 {
	if n <= rowBlock {
		return block(e, r, 0, n)
	}
	count := pieces(n, rowBlock)
	results := e.scratch[r.w].floats(slotFold, count)
	for i := range count {
		lo, hi := span(i, rowBlock, n)
		results[i] = block(e, r, lo, hi)
	}
	return e.joinBlocks(results, r.w)
}

// joinBlocks sums block results by the row rule, in place.
func (e *Engine) joinBlocks(results []float32, w int) float32 {
	for len(results) > 1 {
		count := pieces(len(results), rowBlock)
		for i := range count {
			lo, hi := span(i, rowBlock, len(results))
			results[i] = e.blockSum(results[lo:hi], w)
		}
		results = results[:count]
	}
	return results[0]
}

func dotBlock(e *Engine, r *rowJob, lo, hi int) float32 {
	return e.blockDot(r.x[lo:hi], r.y[lo:hi], r.w)
}

// expBlock replaces x by exp(x-s) and sums; x is padded with -Inf to whole
// blocks of sixteen, whose exponentials are +0 and leave the lanes alone.
func expBlock(e *Engine, r *rowJob, lo, hi int) float32 {
	l := &e.scratch[r.w].lanes
	*l = rowLanes{}
	e.vec.expSum(&r.x[lo], pieces(hi-lo, lanes), r.s, (*[lanes]float32)(l))
	return l.tree()
}

// normDotBlock folds fma(dy*gain, x*r, acc); x, y, z are dy, gain, x.
func normDotBlock(e *Engine, r *rowJob, lo, hi int) float32 {
	l := &e.scratch[r.w].lanes
	*l = rowLanes{}
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		e.vec.normDot(&r.x[lo], &r.y[lo], &r.z[lo], n16, r.s, (*[lanes]float32)(l))
	}
	for i := lo + done; i < hi; i++ {
		at := &l[i-lo-done]
		*at = FMA32(float32(r.x[i]*r.y[i]), float32(r.z[i]*r.s), *at)
	}
	return l.tree()
}

// softmaxRow replaces x, which has room for whole blocks of sixteen, by
// exp(scale*x-m) and returns m and the row fold.
func (e *Engine) softmaxRow(x []float32, scale float32, w int) (m, l float32) {
	n := len(x)
	padded := x[:pieces(n, lanes)*lanes]
	for i := n; i < len(padded); i++ {
		padded[i] = negInf
	}
	s := &e.scratch[w]
	e.vec.scaleMax(&x[0], len(padded)/lanes, scale, &s.max)
	m = s.max + 0
	s.row = rowJob{x: padded, s: m, w: w}
	return m, e.rowFold(&s.row, n, expBlock)
}

func (e *Engine) vecNorm(a *normArgs, lo, hi, w int) {
	n16, done := blocks16(a.dim)
	for row := lo; row < hi; row++ {
		x, y := a.x[row*a.dim:][:a.dim], a.y[row*a.dim:][:a.dim]
		s := &e.scratch[w]
		s.row = rowJob{x: x, y: x, w: w}
		r := normScale(e.rowFold(&s.row, a.dim, dotBlock), a.dim, a.eps)
		if a.rstd != nil {
			a.rstd[row] = r
		}
		if n16 > 0 {
			e.vec.mulMul(&y[0], &x[0], &a.gain[0], n16, r)
		}
		for j := done; j < a.dim; j++ {
			y[j] = float32(x[j]*r) * a.gain[j]
		}
	}
}

func (e *Engine) vecNormBackward(a *normArgs) {
	blocks := pieces(a.rows, foldBlock)
	a.partial = e.shared.floats(0, blocks*a.dim)
	clear(a.partial)
	e.pool.run(e, blocks, func(e *Engine, w, i int) {
		a := &e.args.norm
		lo, hi := span(i, foldBlock, a.rows)
		for row := lo; row < hi; row++ {
			e.vecNormBackRow(a, row, a.partial[i*a.dim:][:a.dim], w)
		}
	})
	if a.dgain != nil {
		e.joinBlockRows(a.dgain[:a.dim], a.partial, a.accumulate)
	}
}

func (e *Engine) vecNormBackRow(a *normArgs, row int, dgain []float32, w int) {
	x, dy, dx := a.x[row*a.dim:][:a.dim], a.dy[row*a.dim:][:a.dim], a.dx[row*a.dim:][:a.dim]
	r := a.rstd[row]
	s := &e.scratch[w]
	s.row = rowJob{x: dy, y: a.gain, z: x, s: r, w: w}
	c := e.rowFold(&s.row, a.dim, normDotBlock) / float32(a.dim)
	n16, done := blocks16(a.dim)
	if n16 > 0 {
		e.vec.normGrad(&dx[0], &dgain[0], &dy[0], &a.gain[0], &x[0], n16, r, c)
	}
	for j := done; j < a.dim; j++ {
		h := float32(x[j] * r)
		dgain[j] = FMA32(dy[j], h, dgain[j])
		dx[j] = FMA32(-h, c, float32(dy[j]*a.gain[j])) * r
	}
	if a.plus != nil {
		e.addRow(dx, dx, a.plus[row*a.dim:])
	}
}

func (e *Engine) vecSwiGLU(a *actArgs, lo, hi int) {
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		e.vec.swiglu(&a.y[lo], &a.gate[lo], &a.up[lo], n16)
	}
	for j := lo + done; j < hi; j++ {
		a.y[j] = Silu(a.gate[j]) * a.up[j]
	}
}

func (e *Engine) vecSwiGLUBackward(a *actArgs, lo, hi int) {
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		e.vec.swigluGrad(&a.dgate[lo], &a.dup[lo], &a.d[lo], &a.gate[lo], &a.up[lo], n16)
	}
	for j := lo + done; j < hi; j++ {
		a.dgate[j], a.dup[j] = refSwiGLUGrad(a.d[j], a.gate[j], a.up[j])
	}
}

// signs are the masks that the rope kernel xors into the sines.
var signs = [2][lanes]uint32{1: {
	1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31,
	1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31, 1 << 31,
}}

func (e *Engine) vecRopeToken(a *ropeArgs, t int) {
	if a.half%lanes != 0 {
		refRopeToken(a, t)
		return
	}
	at, row := t*a.heads*2*a.half, t%a.seq*a.half
	sign := &signs[0]
	if a.inverse {
		sign = &signs[1]
	}
	e.vec.rope(&a.y[at], &a.x[at], &a.cos[row], &a.sin[row], a.half/lanes, a.heads, sign)
}

func (e *Engine) vecCrossEntropyRow(a *ceArgs, row, w int) {
	x, target := a.logits[row*a.vocab:][:a.vocab], a.targets[row]
	s := &e.scratch[w]
	p := s.floats(0, pieces(a.vocab, lanes)*lanes)[:a.vocab]
	copy(p, x)
	xt := x[target]
	m, l := e.softmaxRow(p, 1, w)
	a.losses[row] = Log(l) - (xt - m)
	if a.dlogits == nil {
		return
	}
	dl, rows := a.dlogits[row*a.vocab:][:a.vocab], float32(a.of)
	n16, done := blocks16(a.vocab)
	if n16 > 0 {
		e.vec.divDiv(&dl[0], &p[0], n16, l, rows)
	}
	for j := done; j < a.vocab; j++ {
		dl[j] = float32(p[j]/l) / rows
	}
	dl[target] = (float32(p[target]/l) - 1) / rows
}

func (e *Engine) vecScatterRow(a *embedArgs, row, w int) {
	rows, total := a.rowsOf(row), a.table[row*a.dim:][:a.dim]
	acc := e.scratch[w].floats(0, a.dim)
	any := a.accumulate
	for i := 0; i < len(rows); {
		block := rows[i] / foldBlock
		clear(acc)
		for ; i < len(rows) && rows[i]/foldBlock == block; i++ {
			e.addRow(acc, acc, a.y[int(rows[i])*a.dim:])
		}
		if any {
			e.addRow(total, total, acc)
		} else {
			copy(total, acc)
		}
		any = true
	}
	if !any {
		clear(total)
	}
}

func (e *Engine) vecElementwise(a *elemArgs, lo, hi int) {
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		y, p, q := &a.y[lo], &a.a[lo], &a.b[lo]
		switch a.op {
		case opAdd:
			e.vec.add(y, p, q, n16)
		case opSub:
			e.vec.sub(y, p, q, n16)
		case opScale:
			e.vec.scale(y, p, n16, a.s)
		case opFMA:
			e.vec.fma(y, p, n16, a.s)
		}
	}
	lo += done
	refElementwise(a.op, a.y[lo:hi], a.a[lo:hi], a.b[lo:hi], a.s)
}

func (e *Engine) vecAdamW(a *adamArgs, lo, hi, w int) {
	c := &e.scratch[w].adam
	*c = [9]float32{a.c.beta1, a.c.rest1, a.c.beta2, a.c.rest2, a.c.corr1, a.c.corr2, a.c.eps, a.c.decay, a.c.lr}
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		e.vec.adamw(&a.p[lo], &a.g[lo], &a.m[lo], &a.v[lo], n16, c)
	}
	for j := lo + done; j < hi; j++ {
		refAdamW(&a.c, &a.p[j], a.g[j], &a.m[j], &a.v[j])
	}
}

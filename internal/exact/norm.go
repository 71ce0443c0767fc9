package exact

type normArgs struct {
	y, x, gain, rstd []float32
	dx, dgain, dy    []float32
	plus             []float32 // added to dx, nil for nothing
	rows, dim        int
	eps              float32
	accumulate       bool      // dgain holds the fold of earlier rows
	partial          []float32 // dgain of each block of rows, SIMD paths
}

// RMSNorm normalises rows of x (rows,dim) to y (rows,dim):
//
//	r = 1/sqrt(sumsquares(x)/dim + eps),  y = (x*r)*gain
//
// gain has dim elements. rstd, if not nil, receives r for each row, which
// RMSNormBackward needs. y may alias x.
func (e *Engine) RMSNorm(y, x, gain, rstd []float32, rows, dim int, eps float32) {
	const kernel = "RMSNorm"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "y", len(y), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "gain", len(gain), dim)
	if rstd != nil {
		need(kernel, "rstd", len(rstd), rows)
	}
	e.args.norm = normArgs{y: y, x: x, gain: gain, rstd: rstd, rows: rows, dim: dim, eps: eps}
	e.pool.run(e, pieces(rows, rowsPerPiece(dim)), func(e *Engine, w, i int) {
		a := &e.args.norm
		lo, hi := span(i, rowsPerPiece(a.dim), a.rows)
		if e.vec != nil {
			e.vecNorm(a, lo, hi, w)
			return
		}
		for row := lo; row < hi; row++ {
			refNormRow(a, row)
		}
	})
}

func refNormRow(a *normArgs, row int) {
	x, y := a.x[row*a.dim:][:a.dim], a.y[row*a.dim:][:a.dim]
	r := normScale(refDot(x, x), a.dim, a.eps)
	if a.rstd != nil {
		a.rstd[row] = r
	}
	for j, v := range x {
		y[j] = float32(v*r) * a.gain[j]
	}
}

// normScale returns 1/sqrt(ss/dim + eps).
func normScale(ss float32, dim int, eps float32) float32 {
	return 1 / sqrt32(float32(ss/float32(dim))+eps)
}

// RMSNormBackward computes dx (rows,dim) and dgain (dim) from dy, x, gain and the
// rstd that RMSNorm saved. Both outputs are overwritten; dx may alias dy.
//
//	h = x*r, d = dy*gain, c = rowfold(fma(d, h, acc))/dim
//	dx = fma(-h, c, d)*r
//	dgain = column fold over rows of fma(dy, h, acc), in blocks of 128 rows
func (e *Engine) RMSNormBackward(dx, dgain, dy, x, gain, rstd []float32, rows, dim int) {
	e.RMSNormBackwardAdd(dx, dgain, nil, dy, x, gain, rstd, rows, dim, false)
}

// RMSNormBackwardAdd is RMSNormBackward with more to do in the same pass: dx is
// plus + dx, one more rounding, unless plus (rows,dim) is nil; dgain is not
// computed if it is nil; and with accumulate it begins with the dgain of earlier
// rows, of which there were a multiple of 128, and adds the blocks of these.
// plus must not overlap dx.
func (e *Engine) RMSNormBackwardAdd(dx, dgain, plus, dy, x, gain, rstd []float32, rows, dim int, accumulate bool) {
	const kernel = "RMSNormBackward"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "dx", len(dx), rows*dim)
	if dgain != nil {
		need(kernel, "dgain", len(dgain), dim)
	}
	if plus != nil {
		need(kernel, "plus", len(plus), rows*dim)
	}
	need(kernel, "dy", len(dy), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "gain", len(gain), dim)
	need(kernel, "rstd", len(rstd), rows)
	e.args.norm = normArgs{dx: dx, dgain: dgain, plus: plus, dy: dy, x: x, gain: gain, rstd: rstd, rows: rows, dim: dim, accumulate: accumulate}
	if e.vec != nil {
		e.vecNormBackward(&e.args.norm)
		return
	}
	if dgain != nil {
		e.pool.run(e, dim, func(e *Engine, _, j int) { refNormGain(&e.args.norm, j) })
	}
	e.pool.run(e, rows, func(e *Engine, _, row int) { refNormBackRow(&e.args.norm, row) })
}

func refNormGain(a *normArgs, j int) {
	f := foldFrom(a.dgain[j], a.accumulate)
	for row := range a.rows {
		h := a.x[row*a.dim+j] * a.rstd[row]
		acc := f.at(row)
		*acc = FMA32(a.dy[row*a.dim+j], h, *acc)
	}
	a.dgain[j] = f.sum()
}

func refNormBackRow(a *normArgs, row int) {
	x, dy, dx := a.x[row*a.dim:][:a.dim], a.dy[row*a.dim:][:a.dim], a.dx[row*a.dim:][:a.dim]
	r := a.rstd[row]
	c := refRowFold(a.dim, func(j int, acc float32) float32 {
		return FMA32(float32(dy[j]*a.gain[j]), float32(x[j]*r), acc)
	}) / float32(a.dim)
	for j := range dx {
		dx[j] = FMA32(-float32(x[j]*r), c, float32(dy[j]*a.gain[j])) * r
	}
	if a.plus != nil {
		refElementwise(opAdd, dx, a.plus[row*a.dim:][:a.dim], dx, 0)
	}
}

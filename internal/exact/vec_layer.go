package exact

// This file drives the SIMD kernels of layer normalisation, biases, activations
// and pooling.

// centerBlock folds fma(d, d, acc), d = x-s.
func centerBlock(e *Engine, r *rowJob, lo, hi int) float32 {
	l := &e.scratch[r.w].lanes
	*l = rowLanes{}
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		e.vec.centerDot(&r.x[lo], n16, r.s, (*[lanes]float32)(l))
	}
	for i := lo + done; i < hi; i++ {
		d, at := r.x[i]-r.s, &l[i-lo-done]
		*at = FMA32(d, d, *at)
	}
	return l.tree()
}

func sumBlock(e *Engine, r *rowJob, lo, hi int) float32 { return e.blockSum(r.x[lo:hi], r.w) }

func (e *Engine) vecLayerRow(a *layerArgs, row, w int) {
	x, y := a.x[row*a.dim:][:a.dim], a.y[row*a.dim:][:a.dim]
	s := &e.scratch[w]
	s.row = rowJob{x: x, w: w}
	m := e.rowFold(&s.row, a.dim, sumBlock) / float32(a.dim)
	s.row.s = m
	r := normScale(e.rowFold(&s.row, a.dim, centerBlock), a.dim, a.eps)
	a.save(row, m, r)
	n16, done := blocks16(a.dim)
	if n16 > 0 {
		e.vec.centerNorm(&y[0], &x[0], &a.gain[0], &a.bias[0], n16, m, r)
	}
	for j := done; j < a.dim; j++ {
		y[j] = FMA32(float32((x[j]-m)*r), a.gain[j], a.bias[j])
	}
}

func (e *Engine) vecLayerBackward(a *layerArgs) {
	blocks := pieces(a.rows, foldBlock)
	a.partGain, a.partBias = e.shared.floats(0, blocks*a.dim), e.shared.floats(1, blocks*a.dim)
	e.pool.run(e, blocks, func(e *Engine, w, i int) {
		a := &e.args.layer
		dgain, dbias := a.partGain[i*a.dim:][:a.dim], a.partBias[i*a.dim:][:a.dim]
		clear(dgain)
		clear(dbias)
		lo, hi := span(i, foldBlock, a.rows)
		for row := lo; row < hi; row++ {
			e.vecLayerBackRow(a, row, dgain, dbias, w)
		}
	})
	if a.dgain != nil {
		e.joinBlockRows(a.dgain[:a.dim], a.partGain, a.accumulate)
		e.joinBlockRows(a.dbias[:a.dim], a.partBias, a.accumulate)
	}
}

// joinBlockRows ends column folds: dst, of the width of a row, is the sum of the
// rows of partial, one per block, or what it holds plus them.
func (e *Engine) joinBlockRows(dst, partial []float32, accumulate bool) {
	if !accumulate {
		clear(dst[copy(dst, partial):]) // without blocks +0
		partial = partial[min(len(dst), len(partial)):]
	}
	for ; len(partial) > 0; partial = partial[len(dst):] {
		e.addRow(dst, dst, partial)
	}
}

func (e *Engine) vecLayerBackRow(a *layerArgs, row int, dgain, dbias []float32, w int) {
	x, dy, dx := a.x[row*a.dim:][:a.dim], a.dy[row*a.dim:][:a.dim], a.dx[row*a.dim:][:a.dim]
	m, r := a.mean[row], a.rstd[row]
	b, c := e.layerDots(a, row, w)
	n16, done := blocks16(a.dim)
	if n16 > 0 {
		e.vec.layerGrad(&dx[0], &dgain[0], &dbias[0], &dy[0], &a.gain[0], &x[0], n16, m, r, b, c)
	}
	for j := done; j < a.dim; j++ {
		h := float32((x[j] - m) * r)
		dgain[j] = FMA32(dy[j], h, dgain[j])
		dbias[j] += dy[j]
		dx[j] = FMA32(-h, c, float32(dy[j]*a.gain[j])-b) * r
	}
}

// layerDots returns the two row folds of a row's gradient, divided by dim.
func (e *Engine) layerDots(a *layerArgs, row, w int) (b, c float32) {
	x, dy := a.x[row*a.dim:][:a.dim], a.dy[row*a.dim:][:a.dim]
	m, r := a.mean[row], a.rstd[row]
	s, blocks := &e.scratch[w], pieces(a.dim, rowBlock)
	results := s.floats(slotFold, 2*blocks)
	for i := range blocks {
		lo, hi := span(i, rowBlock, a.dim)
		s.lanes, s.lanes2 = rowLanes{}, rowLanes{}
		n16, done := blocks16(hi - lo)
		if n16 > 0 {
			e.vec.layerDots(&dy[lo], &a.gain[lo], &x[lo], n16, m, r, (*[lanes]float32)(&s.lanes), (*[lanes]float32)(&s.lanes2))
		}
		for j := lo + done; j < hi; j++ {
			d, l := float32(dy[j]*a.gain[j]), j-lo-done
			s.lanes[l] += d
			s.lanes2[l] = FMA32(d, float32((x[j]-m)*r), s.lanes2[l])
		}
		results[i], results[blocks+i] = s.lanes.tree(), s.lanes2.tree()
	}
	n := float32(a.dim)
	return e.joinBlocks(results[:blocks], w) / n, e.joinBlocks(results[blocks:], w) / n
}

func (e *Engine) vecBiasBackward(a *rowsArgs) {
	blocks := pieces(a.rows, foldBlock)
	a.partial = e.shared.floats(0, blocks*a.dim)
	e.pool.run(e, blocks, func(e *Engine, _, i int) {
		a := &e.args.rows
		dbias := a.partial[i*a.dim:][:a.dim]
		clear(dbias)
		lo, hi := span(i, foldBlock, a.rows)
		for row := lo; row < hi; row++ {
			e.addRow(dbias, dbias, a.x[row*a.dim:])
		}
	})
	e.joinBlockRows(a.bias[:a.dim], a.partial, a.accumulate)
}

func (e *Engine) vecActivation(a *unaryArgs, lo, hi int) {
	n16, done := blocks16(hi - lo)
	if n16 > 0 {
		y, x := &a.y[lo], &a.x[lo]
		switch a.op {
		case opReLU:
			e.vec.relu(y, x, n16)
		case opReLUGrad:
			e.vec.reluGrad(y, &a.d[lo], x, n16)
		case opGELU:
			e.vec.gelu(y, x, n16)
		case opGELUGrad:
			e.vec.geluGrad(y, &a.d[lo], x, n16)
		}
	}
	refActivation(a, lo+done, hi)
}

// vecTakeMax does whole blocks of sixteen of takeMax and returns how many elements.
func (e *Engine) vecTakeMax(y []float32, index []int32, x []float32, at int32) (done int) {
	n16, done := blocks16(len(y))
	if n16 > 0 {
		e.vec.takeMax(&y[0], &index[0], &x[0], n16, at)
	}
	return done
}

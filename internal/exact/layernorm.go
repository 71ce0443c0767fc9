package exact

type layerArgs struct {
	y, x, gain, bias   []float32
	mean, rstd         []float32
	dx, dgain, dbias   []float32
	dy                 []float32
	rows, dim          int
	eps                float32
	accumulate         bool
	partGain, partBias []float32 // sums of each block of rows, SIMD paths
}

// LayerNorm normalises rows of x (rows,dim) to y (rows,dim) (Ba, Kiros and
// Hinton, "Layer normalization", 2016):
//
//	mean = rowfold(x)/dim,  d = x-mean
//	r = 1/sqrt(rowfold(fma(d, d, acc))/dim + eps),  y = fma(d*r, gain, bias)
//
// gain and bias have dim elements. mean and rstd, if not nil, receive mean and r
// of each row, which LayerNormBackward needs. y may alias x.
func (e *Engine) LayerNorm(y, x, gain, bias, mean, rstd []float32, rows, dim int, eps float32) {
	const kernel = "LayerNorm"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "y", len(y), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "gain", len(gain), dim)
	need(kernel, "bias", len(bias), dim)
	if mean != nil {
		need(kernel, "mean", len(mean), rows)
	}
	if rstd != nil {
		need(kernel, "rstd", len(rstd), rows)
	}
	e.args.layer = layerArgs{y: y, x: x, gain: gain, bias: bias, mean: mean, rstd: rstd, rows: rows, dim: dim, eps: eps}
	e.pool.run(e, pieces(rows, rowsPerPiece(dim)), func(e *Engine, w, i int) {
		a := &e.args.layer
		lo, hi := span(i, rowsPerPiece(a.dim), a.rows)
		for row := lo; row < hi; row++ {
			if e.vec != nil {
				e.vecLayerRow(a, row, w)
			} else {
				refLayerRow(a, row)
			}
		}
	})
}

func refLayerRow(a *layerArgs, row int) {
	x, y := a.x[row*a.dim:][:a.dim], a.y[row*a.dim:][:a.dim]
	m := refSum(x) / float32(a.dim)
	r := normScale(refRowFold(a.dim, func(j int, acc float32) float32 {
		d := x[j] - m
		return FMA32(d, d, acc)
	}), a.dim, a.eps)
	a.save(row, m, r)
	for j := range y {
		y[j] = FMA32(float32((x[j]-m)*r), a.gain[j], a.bias[j])
	}
}

// save stores the statistics of a row for the backward kernel.
func (a *layerArgs) save(row int, mean, rstd float32) {
	if a.mean != nil {
		a.mean[row] = mean
	}
	if a.rstd != nil {
		a.rstd[row] = rstd
	}
}

// LayerNormBackward computes dx (rows,dim), dgain and dbias (dim) from dy, x,
// gain and the mean and rstd that LayerNorm saved. dx may alias dy or x.
//
//	h = (x-mean)*r, d = dy*gain
//	b = rowfold(acc + d)/dim, c = rowfold(fma(d, h, acc))/dim
//	dx = fma(-h, c, d-b)*r
//	dgain = column fold over rows of fma(dy, h, acc), dbias of acc + dy
//
// The folds over rows are in blocks of 128. With accumulate the blocks are added
// ascending to what dgain and dbias hold, so that calls on successive multiples
// of 128 rows, all but the first accumulating, give the bits of one call;
// without it dgain and dbias are overwritten. Both may be nil: then only dx is
// computed.
func (e *Engine) LayerNormBackward(dx, dgain, dbias, dy, x, gain, mean, rstd []float32, rows, dim int, accumulate bool) {
	const kernel = "LayerNormBackward"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "dx", len(dx), rows*dim)
	require((dgain == nil) == (dbias == nil), kernel, "only one of dgain and dbias is nil")
	if dgain != nil {
		need(kernel, "dgain", len(dgain), dim)
		need(kernel, "dbias", len(dbias), dim)
	}
	need(kernel, "dy", len(dy), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "gain", len(gain), dim)
	need(kernel, "mean", len(mean), rows)
	need(kernel, "rstd", len(rstd), rows)
	e.args.layer = layerArgs{
		x: x, gain: gain, mean: mean, rstd: rstd, dx: dx, dgain: dgain, dbias: dbias, dy: dy,
		rows: rows, dim: dim, accumulate: accumulate,
	}
	if e.vec != nil {
		e.vecLayerBackward(&e.args.layer)
		return
	}
	if dgain != nil {
		e.pool.run(e, dim, func(e *Engine, _, j int) { refLayerGain(&e.args.layer, j) })
	}
	e.pool.run(e, rows, func(e *Engine, _, row int) { refLayerBackRow(&e.args.layer, row) })
}

func refLayerGain(a *layerArgs, j int) {
	gain, bias := foldFrom(a.dgain[j], a.accumulate), foldFrom(a.dbias[j], a.accumulate)
	for row := range a.rows {
		dy, h := a.dy[row*a.dim+j], float32((a.x[row*a.dim+j]-a.mean[row])*a.rstd[row])
		acc := gain.at(row)
		*acc = FMA32(dy, h, *acc)
		*bias.at(row) += dy
	}
	a.dgain[j], a.dbias[j] = gain.sum(), bias.sum()
}

func refLayerBackRow(a *layerArgs, row int) {
	x, dy, dx := a.x[row*a.dim:][:a.dim], a.dy[row*a.dim:][:a.dim], a.dx[row*a.dim:][:a.dim]
	m, r, n := a.mean[row], a.rstd[row], float32(a.dim)
	b := refRowFold(a.dim, func(j int, acc float32) float32 { return acc + float32(dy[j]*a.gain[j]) }) / n
	c := refRowFold(a.dim, func(j int, acc float32) float32 {
		return FMA32(float32(dy[j]*a.gain[j]), float32((x[j]-m)*r), acc)
	}) / n
	for j := range dx {
		dx[j] = FMA32(-float32((x[j]-m)*r), c, float32(dy[j]*a.gain[j])-b) * r
	}
}

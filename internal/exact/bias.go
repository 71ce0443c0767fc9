package exact

type rowsArgs struct {
	y, x, bias []float32
	rows, dim  int
	accumulate bool
	partial    []float32 // sums of each block of rows, SIMD paths
}

// AddBias adds bias (dim) to each row of x: y = x+bias, both (rows,dim). y may
// be x.
func (e *Engine) AddBias(y, x, bias []float32, rows, dim int) {
	const kernel = "AddBias"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "y", len(y), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "bias", len(bias), dim)
	e.args.rows = rowsArgs{y: y, x: x, bias: bias, rows: rows, dim: dim}
	e.pool.run(e, pieces(rows, rowsPerPiece(dim)), func(e *Engine, _, i int) {
		a := &e.args.rows
		lo, hi := span(i, rowsPerPiece(a.dim), a.rows)
		for row := lo; row < hi; row++ {
			e.addRow(a.y[row*a.dim:][:a.dim], a.x[row*a.dim:], a.bias)
		}
	})
}

// BiasBackward computes the gradient dbias (dim) of AddBias from dy (rows,dim):
// the column fold over rows of acc + dy in blocks of 128 rows. With accumulate
// the blocks are added ascending to what dbias holds, as in LayerNormBackward;
// without it dbias is overwritten.
func (e *Engine) BiasBackward(dbias, dy []float32, rows, dim int, accumulate bool) {
	const kernel = "BiasBackward"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "dbias", len(dbias), dim)
	need(kernel, "dy", len(dy), rows*dim)
	a := &e.args.rows
	*a = rowsArgs{x: dy, bias: dbias, rows: rows, dim: dim, accumulate: accumulate}
	if e.vec != nil {
		e.vecBiasBackward(a)
	} else {
		refBiasBackward(e, a)
	}
}

func refBiasBackward(e *Engine, a *rowsArgs) {
	e.pool.run(e, a.dim, func(e *Engine, _, j int) {
		a := &e.args.rows
		f := foldFrom(a.bias[j], a.accumulate)
		for row := range a.rows {
			*f.at(row) += a.x[row*a.dim+j]
		}
		a.bias[j] = f.sum()
	})
}

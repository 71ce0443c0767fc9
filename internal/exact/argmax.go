package exact

type argmaxArgs struct {
	x         []float32
	index     []int32
	rows, dim int
}

// ArgMaxRows stores to index (rows) the position of the largest element of each
// row of x (rows,dim): the lowest of equal ones, where +0 and -0 are equal. NaN
// is not looked at; a row of nothing else, or of -Inf, gives 0.
func (e *Engine) ArgMaxRows(index []int32, x []float32, rows, dim int) {
	const kernel = "ArgMaxRows"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "index", len(index), rows)
	need(kernel, "x", len(x), rows*dim)
	e.args.argmax = argmaxArgs{x, index, rows, dim}
	e.pool.run(e, pieces(rows, rowsPerPiece(dim)), func(e *Engine, _, i int) {
		a := &e.args.argmax
		lo, hi := span(i, rowsPerPiece(a.dim), a.rows)
		for row := lo; row < hi; row++ {
			best, at := negInf, 0
			for j, v := range a.x[row*a.dim:][:a.dim] {
				if v > best {
					best, at = v, j
				}
			}
			a.index[row] = int32(at)
		}
	})
}

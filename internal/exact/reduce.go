package exact

type sumArgs struct {
	x, partial []float32
	squares    bool
}

// Sum is the row fold of x with acc = acc + x: blocks of 4096 elements; within a
// block lane l of 16 folds elements l, l+16, ... ascending from +0; lanes are
// joined by a tree, l += l+8, l+4, l+2, l+1; the block results form a row that is
// summed by the same rule until one value remains. Sum of nothing is +0.
func (e *Engine) Sum(x []float32) float32 { return e.reduce(x, false) }

// SumSquares is the row fold of x with acc = fma(x, x, acc); see Sum.
func (e *Engine) SumSquares(x []float32) float32 { return e.reduce(x, true) }

func (e *Engine) reduce(x []float32, squares bool) float32 {
	n := pieces(len(x), rowBlock)
	partial := e.shared.floats(0, n)
	e.args.sum = sumArgs{x, partial, squares}
	e.pool.run(e, n, func(e *Engine, w, i int) {
		a := &e.args.sum
		lo, hi := span(i, rowBlock, len(a.x))
		a.partial[i] = e.rowBlockSum(a.x[lo:hi], a.squares, w)
	})
	for n > 1 {
		blocks := pieces(n, rowBlock)
		for i := range blocks {
			lo, hi := span(i, rowBlock, n)
			partial[i] = e.rowBlockSum(partial[lo:hi], false, 0)
		}
		n = blocks
	}
	if n == 0 {
		return 0
	}
	return partial[0]
}

// rowBlockSum folds at most rowBlock elements.
func (e *Engine) rowBlockSum(x []float32, squares bool, w int) float32 {
	switch {
	case e.vec != nil && squares:
		return e.blockDot(x, x, w)
	case e.vec != nil:
		return e.blockSum(x, w)
	case squares:
		return refDot(x, x)
	default:
		return refSum(x)
	}
}

package exact

import "math"

type seArgs struct {
	pred, target  []float32
	rows, dim     int
	losses, dpred []float32
	n             float32 // dim*divisor
}

// SquaredError computes for each row of pred and target (rows,dim) the mean
// squared difference to losses (rows) and, if dpred is not nil, the gradient
// (rows,dim) of the sum of losses over divisor, which is at least 1 and the
// number of rows of a whole batch where the loss is their mean:
//
//	d = pred-target,  loss = rowfold(fma(d, d, acc))/dim
//	dpred = (d+d)/(dim*divisor)
//
// dim*divisor is multiplied as integers, then rounded. dpred may be pred.
func (e *Engine) SquaredError(pred, target []float32, rows, dim int, losses, dpred []float32, divisor int) {
	const kernel = "SquaredError"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	require(divisor >= 1 && within(math.MaxInt, dim, divisor), kernel, "divisor out of range")
	need(kernel, "pred", len(pred), rows*dim)
	need(kernel, "target", len(target), rows*dim)
	need(kernel, "losses", len(losses), rows)
	if dpred != nil {
		need(kernel, "dpred", len(dpred), rows*dim)
	}
	e.args.se = seArgs{pred, target, rows, dim, losses, dpred, float32(dim * divisor)}
	e.pool.run(e, pieces(rows, rowsPerPiece(dim)), func(e *Engine, w, i int) {
		a := &e.args.se
		lo, hi := span(i, rowsPerPiece(a.dim), a.rows)
		for row := lo; row < hi; row++ {
			e.squaredErrorRow(a, row, w)
		}
	})
}

func (e *Engine) squaredErrorRow(a *seArgs, row, w int) {
	s := &e.scratch[w]
	d := s.floats(0, a.dim)
	e.subRow(d, a.pred[row*a.dim:], a.target[row*a.dim:])
	var sum float32
	if e.vec != nil {
		s.row = rowJob{x: d, y: d, w: w}
		sum = e.rowFold(&s.row, a.dim, dotBlock)
	} else {
		sum = refDot(d, d)
	}
	a.losses[row] = sum / float32(a.dim)
	if a.dpred != nil {
		e.addRow(d, d, d)
		e.divRow(a.dpred[row*a.dim:][:a.dim], d, a.n)
	}
}

package exact

type ceArgs struct {
	logits          []float32
	targets         []int32
	rows, vocab, of int
	losses, dlogits []float32
}

// CrossEntropy computes for each row of logits (rows,vocab) the loss in nats
// against targets[row] in [0,vocab), and, if dlogits is not nil, the gradient of
// the mean loss, (softmax - onehot)/rows, (rows,vocab). dlogits may be logits.
//
//	m = max, e = exp(x-m), l = rowfold(e), loss = log(l) - (x[target]-m)
//	dlogits = (e/l - onehot)/rows
//
// A target out of range panics with *ShapeError before anything is written.
func (e *Engine) CrossEntropy(logits []float32, targets []int32, rows, vocab int, losses []float32, dlogits []float32) {
	e.CrossEntropyPart(logits, targets, rows, vocab, rows, losses, dlogits)
}

// CrossEntropyPart is CrossEntropy for some rows of a batch of rows in all: the
// gradient is that of the mean over the batch.
func (e *Engine) CrossEntropyPart(logits []float32, targets []int32, rows, vocab, of int, losses []float32, dlogits []float32) {
	const kernel = "CrossEntropy"
	require(rows >= 0 && of >= rows && vocab > 0, kernel, "bad dimension")
	need(kernel, "logits", len(logits), rows*vocab)
	need(kernel, "targets", len(targets), rows)
	need(kernel, "losses", len(losses), rows)
	if dlogits != nil {
		need(kernel, "dlogits", len(dlogits), rows*vocab)
	}
	for _, t := range targets[:rows] {
		require(t >= 0 && int(t) < vocab, kernel, "target out of range")
	}
	e.args.ce = ceArgs{logits, targets, rows, vocab, of, losses, dlogits}
	per := max(1, rowsPerPiece(vocab)/4)
	e.pool.run(e, pieces(rows, per), func(e *Engine, w, i int) {
		a := &e.args.ce
		lo, hi := span(i, max(1, rowsPerPiece(a.vocab)/4), a.rows)
		for row := lo; row < hi; row++ {
			if e.vec != nil {
				e.vecCrossEntropyRow(a, row, w)
			} else {
				e.refCrossEntropyRow(a, row, w)
			}
		}
	})
}

func (e *Engine) refCrossEntropyRow(a *ceArgs, row, w int) {
	x, target := a.logits[row*a.vocab:][:a.vocab], a.targets[row]
	p := e.scratch[w].floats(0, a.vocab)
	m := refMax(x)
	d := x[target] - m
	for j, v := range x {
		p[j] = Exp(v - m)
	}
	l := refSum(p)
	a.losses[row] = Log(l) - d
	if a.dlogits == nil {
		return
	}
	dl := a.dlogits[row*a.vocab:][:a.vocab]
	for j, v := range p {
		g := v / l
		if j == int(target) {
			g -= 1
		}
		dl[j] = g / float32(a.of)
	}
}

// refMax returns the largest element of x that is not NaN, +0 for a zero of
// either sign, and -Inf if there is none.
func refMax(x []float32) float32 {
	m := negInf
	for _, v := range x {
		if v > m {
			m = v
		}
	}
	return m + 0
}

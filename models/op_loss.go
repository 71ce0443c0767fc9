package models

import G "gorgonia.org/gorgonia"

// crossEntropy returns the mean over the batch of -log softmax(logits)[target], in nats, for logits (rows, vocab) and
// targets (rows) of a pass: the row fold of the losses of all passes, divided by their number. If a derivative is asked
// for, the same pass over the logits leaves it in memory of its own. The derivative is that of the loss alone: the
// gradient that enters must be 1.
func (e env) crossEntropy(name string, rows, vocab int) *op {
	losses := e.keep(rows * e.run.count())
	var dlogits []float32
	o := e.op("crossentropy", name)
	o.args, o.out = []arg{matrix(rows, vocab), tokens(rows)}, scalar()
	o.run = func(loss []float32, v []G.Value) {
		e.CrossEntropyPart(f32(v[0]), i32(v[1]), rows, vocab, len(losses), losses[e.run.index()*rows:], dlogits)
		e.Mean(loss, losses)
	}
	o.wrt = []bool{true, false}
	o.diff = func(_ G.Nodes, loss, _ *G.Node) (G.Nodes, error) {
		dlogits = e.keep(rows * vocab)
		dx, err := apply(e.leftover("crossentropy.dx", name, scalar(), matrix(rows, vocab), dlogits), loss)
		return G.Nodes{dx, nil}, err
	}
	return o
}

// squaredError returns the mean over the batch of the mean squared difference between pred and target, both (rows, dim) of
// a pass: the row fold of the losses of all passes, divided by their number. Its derivative is left, and bound, as that of
// crossEntropy.
func (e env) squaredError(name string, rows, dim int) *op {
	losses := e.keep(rows * e.run.count())
	var dpred []float32
	o := e.op("squarederror", name)
	o.args, o.out = []arg{matrix(rows, dim), matrix(rows, dim)}, scalar()
	o.run = func(loss []float32, v []G.Value) {
		e.SquaredError(f32(v[0]), f32(v[1]), rows, dim, losses[e.run.index()*rows:], dpred, len(losses))
		e.Mean(loss, losses)
	}
	o.wrt = []bool{true, false}
	o.diff = func(_ G.Nodes, loss, _ *G.Node) (G.Nodes, error) {
		dpred = e.keep(rows * dim)
		dx, err := apply(e.leftover("squarederror.dx", name, scalar(), matrix(rows, dim), dpred), loss)
		return G.Nodes{dx, nil}, err
	}
	return o
}

package models

import (
	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// crossEntropy returns the mean over rows of -log softmax(logits)[target], in nats, for logits (rows, vocab) and
// targets (rows): the row fold of the losses, divided by rows. If a derivative is asked for, the same pass over the
// logits leaves it in memory of its own. The derivative is that of the loss alone: the gradient that enters must be 1.
func (e env) crossEntropy(name string, rows, vocab int) *op {
	losses := make([]float32, rows)
	var dlogits []float32
	o := e.op("crossentropy", name)
	o.args, o.out = []arg{matrix(rows, vocab), tokens(rows)}, scalar()
	o.run = func(loss []float32, v []G.Value) {
		e.CrossEntropy(f32(v[0]), i32(v[1]), rows, vocab, losses, dlogits)
		loss[0] = e.Sum(losses) / float32(rows)
	}
	o.wrt = []bool{true, false}
	o.diff = func(_ G.Nodes, loss, _ *G.Node) (G.Nodes, error) {
		dlogits = exact.Floats(rows * vocab)
		dx, err := apply(e.leftover("crossentropy.dx", name, scalar(), matrix(rows, vocab), dlogits), loss)
		return G.Nodes{dx, nil}, err
	}
	return o
}

// squaredError returns the mean over rows of the mean squared difference between pred and target, both (rows, dim): the
// row fold of the losses of rows, divided by rows. Its derivative is left and bound as that of crossEntropy.
func (e env) squaredError(name string, rows, dim int) *op {
	losses := make([]float32, rows)
	var dpred []float32
	o := e.op("squarederror", name)
	o.args, o.out = []arg{matrix(rows, dim), matrix(rows, dim)}, scalar()
	o.run = func(loss []float32, v []G.Value) {
		e.SquaredError(f32(v[0]), f32(v[1]), rows, dim, losses, dpred, rows)
		loss[0] = e.Sum(losses) / float32(rows)
	}
	o.wrt = []bool{true, false}
	o.diff = func(_ G.Nodes, loss, _ *G.Node) (G.Nodes, error) {
		dpred = exact.Floats(rows * dim)
		dx, err := apply(e.leftover("squarederror.dx", name, scalar(), matrix(rows, dim), dpred), loss)
		return G.Nodes{dx, nil}, err
	}
	return o
}

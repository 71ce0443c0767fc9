package models

import (
	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// headRows is the rows whose logits exist at a time, whole blocks of the fold of dW.
const headRows = 4 * exact.FoldBlock

// head is the output layer and its loss as one operation: the mean over the batch of -log softmax(x Wᵀ)[target], in nats,
// for x (rows, dim), W (vocab, dim) and targets (rows). Logits exist for a block of 512 rows at a time, and the gradients of
// x and W follow while they do: dx = dlogits W and, block by block, dW = dlogitsᵀ x, as linear computes them.
//
// Because the gradients come with the loss, its value in the graph is the gradient: op yields dx, and mean, which takes
// the loss from memory, is differentiated to that very node.
type head struct {
	env
	rows, dim, vocab int
	train, dx        bool   // whether gradients are wanted, and that of x among them
	dw               []part // what is wanted of dW
	losses           []float32
	logits           []float32 // of one block
}

func (e env) newHead(rows, dim, vocab int) *head {
	return &head{
		env: e, rows: rows, dim: dim, vocab: vocab,
		losses: e.keep(rows * e.run.count()),
		logits: e.keep(min(rows, headRows) * vocab),
	}
}

// op returns dx, or nothing of interest in one element if that is not wanted.
func (h *head) op(name string) *op {
	o := h.env.op("head", name)
	o.args, o.out = []arg{matrix(h.rows, h.dim), matrix(h.vocab, h.dim), tokens(h.rows)}, vector(1)
	if h.dx {
		o.out = o.args[0]
	}
	o.run = func(dx []float32, v []G.Value) {
		for lo := 0; lo < h.rows; lo += headRows {
			h.block(lo, min(headRows, h.rows-lo), f32(v[0]), f32(v[1]), i32(v[2]), dx)
		}
	}
	o.wrt = []bool{true, true, false}
	o.diff = func(_ G.Nodes, out, _ *G.Node) (G.Nodes, error) {
		dw := h.env.op("head.dw", name)
		dw.args, dw.out, dw.placed = []arg{o.out}, o.args[1], true
		n, err := apply(dw, out)
		return G.Nodes{out, n, nil}, err
	}
	return o
}

// block does n rows from row lo on.
func (h *head) block(lo, n int, x, w []float32, targets []int32, dx []float32) {
	x = x[lo*h.dim:][:n*h.dim]
	h.Gemm(false, true, n, h.vocab, h.dim, x, h.dim, w, h.dim, h.logits, h.vocab, false)
	at := h.run.index()*h.rows + lo
	dlogits := h.logits
	if !h.train {
		dlogits = nil
	}
	h.CrossEntropyPart(h.logits, targets[lo:], n, h.vocab, len(h.losses), h.losses[at:], dlogits)
	if h.dx {
		h.Gemm(false, false, n, h.dim, h.vocab, dlogits, h.vocab, w, h.dim, dx[lo*h.dim:], h.dim, false)
	}
	for _, p := range h.dw {
		h.Gemm(true, false, p.rows.Len(), h.dim, n, dlogits[p.rows.Lo:], h.vocab, x, h.dim, p.memory, h.dim, at > 0)
	}
}

// mean returns the row fold of the losses of all passes, divided by their number.
func (h *head) mean(name string) *op {
	o := h.env.op("mean", name)
	o.args, o.out, o.final = []arg{vector(1)}, scalar(), true
	if h.dx {
		o.args[0] = matrix(h.rows, h.dim)
	}
	o.run = func(loss []float32, _ []G.Value) { h.Mean(loss, h.losses) }
	o.wrt = []bool{true}
	o.diff = func(in G.Nodes, _, _ *G.Node) (G.Nodes, error) { return G.Nodes{in[0]}, nil }
	return o
}

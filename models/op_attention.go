package models

import (
	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// heads is the geometry of attention over batch sequences of seq tokens each. Rows are tokens: rows = batch*seq.
type heads struct {
	batch, seq    int
	query, kv, hd int // query heads, key and value heads, elements per head
}

func (h heads) rows() int { return h.batch * h.seq }

// widths are the columns of q, k and v.
func (h heads) widths() []int { return []int{h.query * h.hd, h.kv * h.hd, h.kv * h.hd} }

// packed is the shape of q, k and v in one packed matrix (see linear).
func (h heads) packed() arg { return matrix(h.rows(), sum(h.widths())) }

// split cuts packed memory into q (rows, query*hd), k and v (rows, kv*hd each).
func (h heads) split(p []float32) (q, k, v []float32) {
	nq, nk := h.rows()*h.query*h.hd, h.rows()*h.kv*h.hd
	return p[:nq], p[nq : nq+nk], p[nq+nk : nq+2*nk]
}

// ropeTable holds cos and sin of every position and frequency, each (seq, hd/2).
type ropeTable struct{ cos, sin []float32 }

// on returns the table in the memory of a device.
func (t ropeTable) on(k exact.Kernels) ropeTable {
	out := ropeTable{k.Floats(len(t.cos)), k.Floats(len(t.sin))}
	copy(out.cos, t.cos)
	copy(out.sin, t.sin)
	return out
}

// rope rotates q and k of a packed matrix by their positions and leaves v (Su et al. 2021, with the pairing of Hugging
// Face's Llama: element i with element i + hd/2). It takes its input's memory where it may. The inverse rotation is the
// derivative.
func (e env) rope(name string, h heads, table ropeTable, inverse bool) *op {
	o := e.op("rope", name, h, inverse)
	o.args, o.out = []arg{h.packed()}, h.packed()
	o.overwrites = 0
	o.run = func(y []float32, in []G.Value) {
		xq, xk, xv := h.split(f32(in[0]))
		q, k, v := h.split(y)
		e.Rope(q, xq, table.cos, table.sin, h.batch, h.seq, h.query, h.hd, inverse)
		e.Rope(k, xk, table.cos, table.sin, h.batch, h.seq, h.kv, h.hd, inverse)
		if &xv[0] != &v[0] {
			e.Copy(v, xv)
		}
	}
	if inverse {
		return o
	}
	o.wrt = []bool{true}
	o.diff = func(_ G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		dx, err := apply(e.rope(name, h, table, true), dy)
		return G.Nodes{dx}, err
	}
	return o
}

// attention returns o (rows, query*hd) = softmax(q kᵀ / sqrt(hd), causal) v for packed q, k, v; query head j reads key
// and value head j / (query/kv) (Ainslie et al. 2023). The forward op keeps the maximum and the sum of every softmax
// row, from which its derivative recomputes the probabilities.
func (e env) attention(name string, h heads) *op {
	rowMax, rowSum := e.keep(h.rows()*h.query), e.keep(h.rows()*h.query)
	o := e.op("attention", name, h)
	o.args, o.out = []arg{h.packed()}, matrix(h.rows(), h.query*h.hd)
	o.run = func(y []float32, in []G.Value) {
		q, k, v := h.split(f32(in[0]))
		e.Attention(y, q, k, v, rowMax, rowSum, h.batch, h.seq, h.query, h.kv, h.hd)
	}
	o.wrt = []bool{true}
	o.diff = func(in G.Nodes, out, dy *G.Node) (G.Nodes, error) {
		b := e.op("attention.dx", name, h)
		b.args, b.out = []arg{o.out, o.out, h.packed()}, h.packed()
		b.run = func(dx []float32, in []G.Value) {
			dq, dk, dv := h.split(dx)
			q, k, v := h.split(f32(in[2]))
			e.AttentionBackward(dq, dk, dv, f32(in[0]), q, k, v, f32(in[1]), rowMax, rowSum,
				h.batch, h.seq, h.query, h.kv, h.hd)
		}
		dx, err := apply(b, dy, out, in[0])
		return G.Nodes{dx}, err
	}
	return o
}

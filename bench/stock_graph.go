package main

import (
	"errors"
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"drystone/internal/exact"
	"drystone/models"
	"drystone/protocol"
)

// stock is a decoder of the Llama family made of Gorgonia's own operations alone and run by its tape machine: what a Go
// program that trains with Gorgonia has without this project. It computes the function that models computes, in
// float32.
//
// Weights are (in, out), as Gorgonia multiplies from the right; heads are taken apart by transposition, and attention is
// one batched product over all heads of all sequences. The rotation of RoPE is a product with a constant matrix of one
// head, causality an added constant.
type stock struct {
	spec   protocol.ModelSpec
	batch  int
	graph  *G.ExprGraph
	vm     G.VM
	ids    []int     // (rows) tokens
	onehot []float32 // (rows, vocab) targets
	loss   *G.Node
	params []*stockParam
}

// stockParam is one parameter with its gradient and moments.
type stockParam struct {
	models.Param
	node, grad *G.Node
	value      []float32 // (in, out) for a matrix other than the embedding
	m, v       []float32
}

// newStock builds, differentiates and compiles the graph.
func newStock(spec protocol.ModelSpec, batch int) (s *stock, err error) {
	defer func() { // Gorgonia's constructors panic
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("gorgonia: %v", r)
		}
	}()
	if spec.Tied || spec.Heads != spec.KVHeads {
		return nil, errors.New("gorgonia: only an untied head and as many key heads as query heads are built")
	}
	layout, _, err := models.Layout(spec)
	if err != nil {
		return nil, err
	}
	s = &stock{spec: spec, batch: batch, graph: G.NewGraph()}
	for _, p := range layout {
		s.params = append(s.params, s.param(p))
	}
	s.loss = s.build()
	var nodes G.Nodes
	for _, p := range s.params {
		nodes = append(nodes, p.node)
	}
	grads, err := G.Grad(s.loss, nodes...)
	if err != nil {
		return nil, fmt.Errorf("gorgonia: %w", err)
	}
	for i, p := range s.params {
		p.grad = grads[i]
	}
	s.vm = G.NewTapeMachine(s.graph)
	return s, nil
}

// rows is the number of tokens of a step.
func (s *stock) rows() int { return s.batch * s.spec.Context }

// param makes a parameter of zeros.
func (s *stock) param(p models.Param) *stockParam {
	shape := tensor.Shape{1, p.Len} // a gain is a row
	switch {
	case p.Name == "model.embed_tokens.weight":
		shape = tensor.Shape{p.Shape[0], p.Shape[1]}
	case len(p.Shape) == 2:
		shape = tensor.Shape{p.Shape[1], p.Shape[0]}
	}
	q := &stockParam{Param: p, value: make([]float32, p.Len), m: make([]float32, p.Len), v: make([]float32, p.Len)}
	q.node = G.NewMatrix(s.graph, tensor.Float32, G.WithName(p.Name), G.WithShape(shape...), G.WithValue(dense(q.value, shape...)))
	return q
}

// constant makes an input that does not change.
func (s *stock) constant(name string, data []float32, shape ...int) *G.Node {
	return G.NewTensor(s.graph, tensor.Float32, len(shape), G.WithName(name), G.WithShape(shape...), G.WithValue(dense(data, shape...)))
}

func dense(data []float32, shape ...int) *tensor.Dense {
	return tensor.New(tensor.WithShape(shape...), tensor.WithBacking(data))
}

// build adds the nodes from tokens to the mean loss.
func (s *stock) build() *G.Node {
	spec, rows := s.spec, s.rows()
	s.ids, s.onehot = make([]int, rows), make([]float32, rows*spec.Vocab)
	ids := G.NewVector(s.graph, tensor.Int, G.WithName("tokens"), G.WithShape(rows), G.WithValue(tensor.New(tensor.WithShape(rows), tensor.WithBacking(s.ids))))
	onehot := s.constant("targets", s.onehot, rows, spec.Vocab)
	next := s.params
	w := func() *G.Node { n := next[0].node; next = next[1:]; return n }
	a := s.newStockAttention()

	x := G.Must(G.ByIndices(w(), ids, 0))
	for range spec.Layers {
		n := s.rmsnorm(x, w())
		q, k, v := a.split(mul(n, w())), a.split(mul(n, w())), a.split(mul(n, w()))
		x = G.Must(G.Add(x, mul(a.apply(a.rope(q), a.rope(k), v), w())))
		n = s.rmsnorm(x, w())
		gate := mul(n, w())
		silu := had(gate, G.Must(G.Sigmoid(gate)))
		x = G.Must(G.Add(x, mul(had(silu, mul(n, w())), w())))
	}
	n := s.rmsnorm(x, w())
	logp := G.Must(G.LogSoftMax(mul(n, w()), 1))
	total := G.Must(G.Sum(had(logp, onehot)))
	return G.Must(G.Mul(total, G.NewConstant(float32(-1/float64(rows)))))
}

func mul(a, b *G.Node) *G.Node { return G.Must(G.Mul(a, b)) }
func had(a, b *G.Node) *G.Node { return G.Must(G.HadamardProd(a, b)) }

func reshape(n *G.Node, shape ...int) *G.Node { return G.Must(G.Reshape(n, shape)) }

// rmsnorm is x (rows, dim) over the root of its rows' mean squares, times gain (1, dim).
func (s *stock) rmsnorm(x, gain *G.Node) *G.Node {
	mean := G.Must(G.Mean(G.Must(G.Square(x)), 1))
	eps := G.NewConstant(float32(s.spec.NormEps))
	r := G.Must(G.Inverse(G.Must(G.Sqrt(G.Must(G.Add(mean, eps))))))
	h := G.Must(G.BroadcastHadamardProd(x, reshape(r, s.rows(), 1), nil, []byte{1}))
	return G.Must(G.BroadcastHadamardProd(h, gain, nil, []byte{0}))
}

// stockAttention holds the constants of attention over n = batch*heads sequences of one head each.
type stockAttention struct {
	batch, seq, heads, hd   int
	cos, sin, quarter, mask *G.Node // (n*seq, hd) twice, (hd, hd), (n, seq, seq)
	scale                   *G.Node
}

func (s *stock) newStockAttention() *stockAttention {
	a := &stockAttention{batch: s.batch, seq: s.spec.Context, heads: s.spec.Heads, hd: s.spec.Dim / s.spec.Heads}
	n, half := a.batch*a.heads, a.hd/2
	cos, sin := exact.RopeTable(a.seq, a.hd, s.spec.RopeTheta)
	c, d := make([]float32, n*a.seq*a.hd), make([]float32, n*a.seq*a.hd)
	for i := range c {
		at := i / a.hd % a.seq * half
		c[i], d[i] = cos[at+i%half], sin[at+i%half]
	}
	quarter := make([]float32, a.hd*a.hd) // x times it is (-second half, first half)
	for i := range half {
		quarter[(i+half)*a.hd+i], quarter[i*a.hd+i+half] = -1, 1
	}
	mask := make([]float32, n*a.seq*a.seq)
	for i := range mask {
		if i%a.seq > i/a.seq%a.seq {
			mask[i] = -1e9
		}
	}
	a.cos, a.sin = s.constant("cos", c, n*a.seq, a.hd), s.constant("sin", d, n*a.seq, a.hd)
	a.quarter, a.mask = s.constant("quarter turn", quarter, a.hd, a.hd), s.constant("mask", mask, n, a.seq, a.seq)
	a.scale = G.NewConstant(float32(1 / math.Sqrt(float64(a.hd))))
	return a
}

// split takes x (rows, dim) apart into heads, (n*seq, hd).
func (a *stockAttention) split(x *G.Node) *G.Node {
	x = G.Must(G.Transpose(reshape(x, a.batch, a.seq, a.heads, a.hd), 0, 2, 1, 3))
	return reshape(x, a.batch*a.heads*a.seq, a.hd)
}

// rope rotates x (n*seq, hd) by the positions.
func (a *stockAttention) rope(x *G.Node) *G.Node {
	return G.Must(G.Add(had(x, a.cos), had(mul(x, a.quarter), a.sin)))
}

// apply returns the attention of q to k and v, all (n*seq, hd), as (rows, dim).
func (a *stockAttention) apply(q, k, v *G.Node) *G.Node {
	n := a.batch * a.heads
	all := func(x *G.Node) *G.Node { return reshape(x, n, a.seq, a.hd) }
	scores := G.Must(G.BatchedMatMul(all(q), all(k), false, true))
	scores = G.Must(G.Add(G.Must(G.Mul(scores, a.scale)), a.mask))
	p := G.Must(G.SoftMax(reshape(scores, n*a.seq, a.seq), 1))
	o := G.Must(G.BatchedMatMul(reshape(p, n, a.seq, a.seq), all(v)))
	o = G.Must(G.Transpose(reshape(o, a.batch, a.heads, a.seq, a.hd), 0, 2, 1, 3))
	return reshape(o, a.batch*a.seq, a.heads*a.hd)
}

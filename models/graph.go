package models

import (
	"fmt"
	"strings"
	"sync"

	"drystone/internal/exact"
	"drystone/protocol"

	_ "go4.org/unsafe/assume-no-moving-gc" // Gorgonia needs the release that go.mod names, or it panics at start
	G "gorgonia.org/gorgonia"
)

// purpose says what a graph ends in.
type purpose int

const (
	forLogits purpose = iota // logits
	forLoss                  // loss
	forTrain                 // loss, gradients
)

// weight is one parameter node: a range of theta. q, k and v of a layer are neighbours in theta and make one node, and
// so do gate and up (see linear).
type weight struct {
	name   string
	arg    arg
	offset int
	node   *G.Node
	grad   *G.Node // nil unless some of it is trained
	parts  []part  // of the gradient
	cuts   []cut
}

// graph is a network as Gorgonia nodes; the files of the families draw theirs.
type graph struct {
	*G.ExprGraph
	tokens, targets  *G.Node
	features, values *G.Node // of the families on examples; an input that a family does not have is nil
	logits, loss     *G.Node
	weights          []*weight
	segments         map[*G.Node]int // layer, from 1, of the nodes inside one
	layers           int
	fanIns           int // sums of gradients that Gorgonia adds where a node has two consumers
}

// graphMu serialises the construction of graphs and machines: Gorgonia keeps pools and counters in package variables.
var graphMu sync.Mutex

// salts bounds the attempts at a graph without hash collisions. With n nodes one attempt fails with probability of about
// n²/2³³: 1e-5 for 12 layers.
const salts = 8

// build makes the graph of spec for passes of batch sequences of Context tokens, or examples, each. grad is for forTrain. The caller
// holds graphMu.
func build(eng exact.Kernels, spec protocol.ModelSpec, batch int, run *passes, p purpose, table ropeTable, grad *gradient) (*graph, error) {
	var err error
	for salt := range salts {
		run.kept = 0
		var g *graph
		if g, err = assemble(env{eng, salt, run}, spec, batch, p, table, grad); err == nil {
			return g, nil
		}
	}
	return nil, err
}

// builder adds forward nodes until the first error.
type builder struct {
	*graph
	segment int              // layer under construction, 0 outside
	trained map[*G.Node]bool // what depends on a trained weight and so gets a gradient
	terms   map[*G.Node]int  // of that gradient
	err     error
}

func newBuilder(g *graph) *builder {
	g.segments = make(map[*G.Node]int)
	return &builder{graph: g, trained: make(map[*G.Node]bool), terms: make(map[*G.Node]int)}
}

// apply adds o to the graph. o will be differentiated only with respect to operands that get a gradient.
func (b *builder) apply(o *op, in ...*G.Node) *G.Node {
	if b.err != nil {
		return nil
	}
	var n *G.Node
	if n, b.err = apply(o, in...); b.err != nil {
		return nil
	}
	b.segments[n] = b.segment
	for i := range o.wrt {
		if o.wrt[i] = o.wrt[i] && b.trained[in[i]]; o.wrt[i] {
			b.trained[n] = true
			if b.terms[in[i]]++; b.terms[in[i]] > 1 {
				b.fanIns++
			}
		}
	}
	return n
}

func assemble(e env, spec protocol.ModelSpec, batch int, p purpose, table ropeTable, grad *gradient) (g *graph, err error) {
	defer func() {
		if r := recover(); r != nil {
			g, err = nil, fmt.Errorf("%w: %v", ErrGraph, r)
		}
	}()
	params, _, err := Layout(spec)
	if err != nil {
		return nil, err
	}
	f, err := familyOf(spec)
	if err != nil {
		return nil, err
	}
	g = &graph{ExprGraph: G.NewGraph(), weights: group(params)}
	b := newBuilder(g)
	for _, w := range g.weights {
		w.node = w.arg.node(g.ExprGraph, e.label(w.name))
		if p == forTrain {
			w.parts, w.cuts = grad.of(w.offset, w.arg.shape[0], w.arg.width())
			b.trained[w.node] = len(w.parts) > 0
		}
	}
	f.assemble(b, e, spec, batch, p, table)
	if b.err != nil {
		return nil, b.err
	}
	if p == forTrain {
		if err := g.differentiate(); err != nil {
			return nil, err
		}
	}
	return g, g.check()
}

// label names an input. Gorgonia hashes inputs by name.
func (e env) label(name string) string { return fmt.Sprintf("%s#%d", name, e.salt) }

// group joins neighbouring parameters that one linear op reads: k and v to q, up to gate.
func group(params []Param) []*weight {
	var ws []*weight
	for _, p := range params {
		joins := strings.HasSuffix(p.Name, ".k_proj.weight") || strings.HasSuffix(p.Name, ".v_proj.weight") ||
			strings.HasSuffix(p.Name, ".up_proj.weight")
		switch {
		case joins:
			last := ws[len(ws)-1]
			last.arg = matrix(last.arg.shape[0]+p.Shape[0], p.Shape[1])
		case len(p.Shape) == 1:
			ws = append(ws, &weight{name: p.Name, arg: vector(p.Shape[0]), offset: p.Offset})
		default:
			ws = append(ws, &weight{name: p.Name, arg: matrix(p.Shape[0], p.Len/p.Shape[0]), offset: p.Offset})
		}
	}
	return ws
}

// differentiate adds the gradient nodes of trained weights and remembers them: only the nodes that Grad returns are read.
func (g *graph) differentiate() error {
	var ws []*weight
	var wrt []*G.Node
	for _, w := range g.weights {
		if len(w.parts) > 0 {
			ws, wrt = append(ws, w), append(wrt, w.node)
		}
	}
	grads, err := G.Grad(g.loss, wrt...)
	if err != nil {
		return fmt.Errorf("%w: differentiating: %w", ErrGraph, err)
	}
	for i, w := range ws {
		w.grad = grads[i]
	}
	return nil
}

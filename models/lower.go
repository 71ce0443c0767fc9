package models

import (
	"cmp"
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"
)

// value is what an instruction computes, or an input.
type value struct {
	arg
	memory any     // []float32, or []int32 for tokens; nil if it is planned
	buffer *buffer // the part of the arena where it is planned
}

// instr is one op with its operands. Instructions are in the order in which they run.
type instr struct {
	op      *op
	out     *value
	in      []*value
	rows    Range // the rows of a gradient that out holds; none: out is all of the op's output
	segment int   // layer of a forward op, from 1; 0: none
}

// lowering turns the nodes of a graph into instructions.
type lowering struct {
	env
	*graph
	values map[*G.Node]*value
	code   []*instr
}

// lower lists the instructions of g in the order in which the nodes were made: Gorgonia makes a gradient right before
// what reads it. Nodes on which no result depends are left out. fixed holds the memory of inputs ([]float32 or
// []int32) and of results that outlive a run ([]float32); gradients of weights go to the weights' parts.
//
// The order cannot change a result, since every op is a function of its operands. Sums of gradients have two terms each
// and addition commutes, so their order cannot either.
func lower(e env, g *graph, fixed map[*G.Node]any) ([]*instr, error) {
	l := &lowering{env: e, graph: g, values: make(map[*G.Node]*value)}
	terms := make(map[*G.Node]*weightTerm)
	results := make([]*G.Node, 0, len(fixed)+len(g.weights))
	for n, m := range fixed {
		l.values[n] = &value{arg: arg{n.Dtype(), n.Shape()}, memory: m}
		results = append(results, n)
	}
	for _, w := range g.weights {
		if w.grad != nil {
			results = append(results, w.grad)
			l.split(w, terms)
		}
	}
	for _, n := range g.upTo(results) {
		var err error
		if t := terms[n]; t != nil {
			err = l.term(n, t)
		} else {
			err = l.node(n)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, w := range g.weights {
		for i, c := range w.cuts {
			l.copy(fmt.Sprintf("%s/%d", w.name, i), c.dst, &value{arg: vector(len(c.src)), memory: c.src}, 0, true)
		}
	}
	return l.code, nil
}

// upTo returns the nodes on which results depend, in the order in which they were made.
func (g *graph) upTo(results []*G.Node) []*G.Node {
	seen := make(map[*G.Node]bool)
	var all []*G.Node
	for len(results) > 0 {
		n := results[len(results)-1]
		results = results[:len(results)-1]
		if !seen[n] {
			seen[n] = true
			all = append(all, n)
			results = append(results, g.inputs(n)...)
		}
	}
	slices.SortFunc(all, func(a, b *G.Node) int { return cmp.Compare(a.ID(), b.ID()) })
	return all
}

// node appends the instruction of n.
func (l *lowering) node(n *G.Node) error {
	in := l.inputs(n)
	switch {
	case n.Op() == nil && l.values[n] == nil:
		return fmt.Errorf("%w: input %v has no memory", ErrGraph, n)
	case n.Op() == nil || isConst(n, in):
		return nil
	}
	o, ours := n.Op().(*op)
	if !ours { // check has made sure that it is a sum
		o = l.sum(fmt.Sprint(n.ID()), arg{n.Dtype(), n.Shape()})
	}
	if l.values[n] == nil {
		l.values[n] = &value{arg: o.out}
		if o.memory != nil {
			l.values[n].memory = o.memory
		}
	}
	return l.emit(o, l.values[n], in, Range{}, l.segments[n])
}

func (l *lowering) emit(o *op, out *value, in []*G.Node, rows Range, segment int) error {
	c := &instr{op: o, out: out, rows: rows, segment: segment}
	for i, n := range in {
		v := l.values[n]
		if v == nil {
			return fmt.Errorf("%w: %v reads %v before it is there", ErrGraph, o, n)
		}
		if !o.args[i].shape.Eq(v.shape) {
			return fmt.Errorf("%w: %v: operand %d has shape %v", ErrGraph, o, i, v.shape)
		}
		c.in = append(c.in, v)
	}
	l.code = append(l.code, c)
	return nil
}

// copy appends the copy of rows of from, beginning with row first, to dst.
func (l *lowering) copy(name string, dst []float32, from *value, first int, final bool) {
	o := l.op("copy", name)
	o.args, o.out, o.final = []arg{from.arg}, vector(len(dst)), final
	at := first * from.width()
	o.run = func(y []float32, in []G.Value) { l.Copy(y, f32(in[0])[at:]) }
	l.code = append(l.code, &instr{op: o, out: &value{arg: o.out, memory: dst}, in: []*value{from}})
}

// sum returns the op that stands in for Gorgonia's addition: y = a + b, in a's memory where it may.
func (e env) sum(name string, a arg) *op {
	o := e.op("sum", name)
	o.args, o.out, o.overwrites = []arg{a, a}, a, 0
	o.run = func(y []float32, v []G.Value) { e.Add(y, f32(v[0]), f32(v[1])) }
	return o
}

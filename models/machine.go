package models

import (
	"fmt"
	"slices"

	G "gorgonia.org/gorgonia"
)

// machine runs a graph: a list of steps in a fixed order over memory planned once. It is a G.VM. Unlike Gorgonia's tape
// machine it allocates nothing in RunAll, reuses the memory of dead intermediates, never adds in place over a gradient
// that another node still reads, and turns a panic inside an op into an error.
type machine struct {
	steps  []step
	floats int // elements of planned memory, for tests
}

// step is one op with its operands, bound for good.
type step struct {
	op  G.UsePreallocDoer
	out G.Value
	in  []G.Value
}

var _ G.VM = (*machine)(nil)

// RunAll executes every step once.
func (m *machine) RunAll() (err error) {
	i := 0
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("models: running %v: %v", m.steps[i].op, r)
		}
	}()
	for i = range m.steps {
		s := &m.steps[i]
		if _, err := s.op.UsePreallocDo(s.out, s.in...); err != nil {
			return err
		}
	}
	return nil
}

// Reset does nothing: every run overwrites all it reads.
func (m *machine) Reset() {}

// Close lets go of the planned memory.
func (m *machine) Close() error {
	m.steps = nil
	return nil
}

// compile plans the execution of g. fixed holds the memory of inputs ([]float32 or []int32) and of results that outlive
// a run ([]float32); all other memory is planned here.
//
// The order is Gorgonia's stable topological one. It cannot change a result, since every op is a function of its
// operands. Sums of gradients have two terms each and addition commutes, so their order cannot either.
func compile(e env, g *graph, fixed map[*G.Node]any) (*machine, error) {
	sorted, err := G.Sort(g.ExprGraph)
	if err != nil {
		return nil, fmt.Errorf("%w: sorting: %w", ErrGraph, err)
	}
	slices.Reverse(sorted)
	p := newPlanner(g, sorted, fixed)
	var plan []planned
	for i, n := range sorted {
		in := g.inputs(n)
		if n.Op() == nil {
			if fixed[n] == nil {
				return nil, fmt.Errorf("%w: input %v has no memory", ErrGraph, n)
			}
			continue
		}
		if isConst(n, in) {
			continue
		}
		o, ours := n.Op().(*op)
		if !ours { // check has made sure that it is a sum
			o = e.sum(n)
		}
		if err := p.place(i, n, o, in); err != nil {
			return nil, err
		}
		plan = append(plan, planned{o, n, in})
	}
	p.layOut()
	m := &machine{}
	for _, b := range plan {
		s := step{op: b.op, out: b.op.out.value(p.memory[b.node])}
		for k, c := range b.in {
			s.in = append(s.in, b.op.args[k].value(p.memory[c]))
		}
		m.steps = append(m.steps, s)
	}
	m.floats = p.floats
	return m, nil
}

// planned is a step before its memory is known.
type planned struct {
	op   *op
	node *G.Node
	in   []*G.Node
}

// sum returns the op that stands in for Gorgonia's addition at n: y = a + b into memory of its own.
func (e env) sum(n *G.Node) *op {
	a := arg{n.Dtype(), n.Shape()}
	o := e.op("sum", fmt.Sprint(n.ID()))
	o.args, o.out = []arg{a, a}, a
	o.run = func(y []float32, v []G.Value) { e.Add(y, f32(v[0]), f32(v[1])) }
	return o
}

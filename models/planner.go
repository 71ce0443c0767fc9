package models

import (
	"fmt"
	"math"

	G "gorgonia.org/gorgonia"
)

// planner gives every node its memory. A node's memory is free again after the last step that reads it, and later nodes
// of the same length take it; lengths repeat from layer to layer, so nothing cleverer pays.
type planner struct {
	fixed   map[*G.Node]any
	memory  map[*G.Node]any // []float32, or []int32 for token inputs
	owned   map[*G.Node]bool
	lastUse map[*G.Node]int // index of the last step that reads the node
	free    map[int][][]float32
	floats  int
}

func newPlanner(g *graph, sorted G.Nodes, fixed map[*G.Node]any) *planner {
	p := &planner{
		fixed:   fixed,
		memory:  make(map[*G.Node]any),
		owned:   make(map[*G.Node]bool),
		lastUse: make(map[*G.Node]int),
		free:    make(map[int][][]float32),
	}
	for n, m := range fixed {
		p.memory[n] = m
		p.lastUse[n] = math.MaxInt
	}
	for i, n := range sorted {
		for _, c := range g.inputs(n) {
			p.lastUse[c] = max(p.lastUse[c], i)
		}
	}
	return p
}

// place finds memory for the output of n, step i, and frees that of operands which no later step reads.
func (p *planner) place(i int, n *G.Node, o *op, in []*G.Node) error {
	if _, read := p.lastUse[n]; !read {
		return fmt.Errorf("%w: nothing reads %v", ErrGraph, n)
	}
	size := o.out.shape.TotalSize()
	switch k := o.overwrites; {
	case p.fixed[n] != nil: // set by newPlanner; the op writes straight into it
	case o.memory != nil:
		p.memory[n] = o.memory
	case k >= 0 && p.owned[in[k]] && p.lastUse[in[k]] == i && in[k].Shape().TotalSize() == size:
		p.memory[n], p.owned[n] = p.memory[in[k]], true
		delete(p.owned, in[k])
	default:
		p.memory[n], p.owned[n] = p.take(size), true
	}
	for _, c := range in {
		if p.owned[c] && p.lastUse[c] == i {
			m := p.memory[c].([]float32)
			p.free[len(m)] = append(p.free[len(m)], m)
			delete(p.owned, c)
		}
	}
	return nil
}

func (p *planner) take(size int) []float32 {
	if f := p.free[size]; len(f) > 0 {
		p.free[size] = f[:len(f)-1]
		return f[len(f)-1]
	}
	p.floats += size
	return make([]float32, size)
}

package models

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// planner gives every node its memory. It is fed the nodes in the order in which they run (place) and then lays all that
// a run computes on the way into one arena (layOut): two nodes share memory exactly if no step needs both. The largest
// come first, each at the lowest place that is free for as long as it lives (Pisarchyk and Lee, 2020, "greedy by size").
type planner struct {
	fixed   map[*G.Node]any
	lastUse map[*G.Node]int // index of the last step that reads the node
	memory  map[*G.Node]any // []float32, or []int32 for token inputs, of nodes that lie outside the arena
	buffers map[*G.Node]*buffer
	all     []*buffer
	floats  int
}

// buffer is a part of the arena. Nodes of which one overwrites the other share it.
type buffer struct {
	size        int
	first, last int // steps that write and read it
	at          int
}

// arenaAlign is the elements of a cache line: buffers begin at one.
const arenaAlign = 16

func newPlanner(g *graph, sorted G.Nodes, fixed map[*G.Node]any) *planner {
	p := &planner{
		fixed:   fixed,
		lastUse: make(map[*G.Node]int),
		memory:  make(map[*G.Node]any),
		buffers: make(map[*G.Node]*buffer),
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

// place decides where the output of n, step i, lies.
func (p *planner) place(i int, n *G.Node, o *op, in []*G.Node) error {
	last, read := p.lastUse[n]
	if !read {
		return fmt.Errorf("%w: nothing reads %v", ErrGraph, n)
	}
	size := o.out.shape.TotalSize()
	switch k := o.overwrites; {
	case p.fixed[n] != nil: // set by newPlanner; the op writes straight into it
	case o.memory != nil:
		p.memory[n] = o.memory
	case k >= 0 && p.buffers[in[k]] != nil && p.buffers[in[k]].last == i && p.buffers[in[k]].size == size:
		b := p.buffers[in[k]]
		b.last = last
		p.buffers[n] = b
	default:
		b := &buffer{size: size, first: i, last: last}
		p.buffers[n] = b
		p.all = append(p.all, b)
	}
	return nil
}

// layOut allocates the arena.
func (p *planner) layOut() {
	order := slices.Clone(p.all)
	slices.SortStableFunc(order, func(a, b *buffer) int { return cmp.Compare(b.size, a.size) })
	var placed []*buffer // by place
	for _, b := range order {
		for _, other := range placed {
			if other.last < b.first || b.last < other.first {
				continue
			}
			if b.at+b.size <= other.at {
				break
			}
			b.at = max(b.at, (other.at+other.size+arenaAlign-1)/arenaAlign*arenaAlign)
		}
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *buffer) int { return cmp.Compare(x.at, y.at) })
		placed = slices.Insert(placed, at, b)
		p.floats = max(p.floats, b.at+b.size)
	}
	arena := exact.Floats(p.floats)
	for n, b := range p.buffers {
		p.memory[n] = arena[b.at : b.at+b.size : b.at+b.size]
	}
}

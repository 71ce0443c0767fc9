package models

import (
	"cmp"
	"slices"
)

// buffer is a part of the arena. Values of which one overwrites the other share it.
type buffer struct {
	size        int
	first, last int // instructions that write and read it
	at          int
}

// arenaAlign is the elements of a cache line: buffers begin at one.
const arenaAlign = 16

// plan gives every value that has no memory its place in one arena, which floats gives, and returns the arena's elements. Two values share
// memory exactly if no instruction needs both. The largest come first, each at the lowest place that is free for as long
// as it lives (Pisarchyk and Lee, 2020, "greedy by size").
func plan(code []*instr, floats func(n int) []float32) int {
	var all []*buffer
	lastRead := lastReads(code)
	for i, c := range code {
		if b := c.place(i, lastRead); b != nil {
			all = append(all, b)
		}
	}
	size := layOut(all)
	arena := floats(size)
	for _, c := range code {
		if b := c.out.buffer; b != nil {
			c.out.memory = arena[b.at : b.at+b.size : b.at+b.size]
		}
	}
	return size
}

// lastReads returns for each value the last instruction that reads it.
func lastReads(code []*instr) map[*value]int {
	last := make(map[*value]int)
	for i, c := range code {
		for _, v := range c.in {
			last[v] = i
		}
	}
	return last
}

// place decides in which buffer the output of c, instruction i, lies. It returns the buffer if that is new.
func (c *instr) place(i int, lastRead map[*value]int) *buffer {
	if c.out.memory != nil {
		return nil
	}
	size, last := c.out.shape.TotalSize(), max(i, lastRead[c.out])
	if k := c.op.overwrites; k >= 0 {
		if b := c.in[k].buffer; b != nil && b.last == i && b.size == size {
			b.last = last
			c.out.buffer = b
			return nil
		}
	}
	c.out.buffer = &buffer{size: size, first: i, last: last}
	return c.out.buffer
}

// layOut sets where the buffers lie and returns the elements that they take.
func layOut(all []*buffer) int {
	order := slices.Clone(all)
	slices.SortStableFunc(order, func(a, b *buffer) int { return cmp.Compare(b.size, a.size) })
	var placed []*buffer // by place
	size := 0
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
		size = max(size, b.at+b.size)
	}
	return size
}

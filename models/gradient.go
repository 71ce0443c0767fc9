package models

import "slices"

// Range is the half-open interval [Lo, Hi) of theta.
type Range struct{ Lo, Hi int }

// Len returns the number of parameters in r.
func (r Range) Len() int { return r.Hi - r.Lo }

// meet returns what two ranges share; it is empty if Hi <= Lo.
func (r Range) meet(s Range) Range { return Range{max(r.Lo, s.Lo), min(r.Hi, s.Hi)} }

// gradient is the memory of the gradient: the trained ranges of theta one after the other.
type gradient struct {
	trained []Range
	memory  []float32
	floats  func(n int) []float32 // the device's memory
}

func newGradient(trained []Range, floats func(n int) []float32) *gradient {
	total := 0
	for _, r := range trained {
		total += r.Len()
	}
	return &gradient{trained, floats(total), floats}
}

// part is the gradient of some rows of a weight. A vector has rows of one element.
type part struct {
	rows   Range
	memory []float32 // rows.Len() rows
}

// cut is the rest of a row of which theta's trained ranges have a part only: the row is computed into memory of its own.
type cut struct{ dst, src []float32 }

// of returns the parts of the gradient of a weight of rows rows of cols elements at offset, and what is to be copied when
// these are complete. Rows that lie in the trained ranges as a whole are computed in place.
func (g *gradient) of(offset, rows, cols int) (parts []part, cuts []cut) {
	at := 0 // of r in memory
	var edges []Range
	var dsts [][]float32
	edge := func(r Range, memory []float32) {
		if r.Len() > 0 {
			edges, dsts = append(edges, r), append(dsts, memory)
		}
	}
	for _, r := range joined(g.trained) {
		in := r.meet(Range{offset, offset + rows*cols})
		if in.Len() > 0 {
			memory := g.memory[at+in.Lo-r.Lo:][:in.Len():in.Len()]
			in = Range{in.Lo - offset, in.Hi - offset}
			whole := Range{(in.Lo + cols - 1) / cols * cols, in.Hi / cols * cols}
			if whole.Len() > 0 {
				parts = append(parts, part{Range{whole.Lo / cols, whole.Hi / cols}, memory[whole.Lo-in.Lo:][:whole.Len()]})
			} else if whole.Len() < 0 { // within one row
				whole = Range{in.Hi, in.Hi}
			}
			edge(Range{in.Lo, whole.Lo}, memory)
			edge(Range{whole.Hi, in.Hi}, memory[len(memory)-(in.Hi-whole.Hi):])
		}
		at += r.Len()
	}
	last := -1 // row of the edge before
	for i, r := range edges {
		row := r.Lo / cols
		if row != last {
			parts = append(parts, part{Range{row, row + 1}, g.floats(cols)})
			last = row
		}
		src := parts[len(parts)-1].memory[r.Lo-row*cols:][:r.Len()]
		cuts = append(cuts, cut{dsts[i][:r.Len()], src})
	}
	return parts, cuts
}

// joined returns ascending ranges with those joined that touch.
func joined(rs []Range) []Range {
	rs = slices.Clone(rs)
	n := 0
	for _, r := range rs[1:] {
		if r.Lo == rs[n].Hi {
			rs[n].Hi = r.Hi
		} else {
			n++
			rs[n] = r
		}
	}
	return rs[:n+1]
}

package models

import (
	"fmt"

	G "gorgonia.org/gorgonia"
)

// weightTerm says what a node is to the gradient of a weight: all of it, one of two terms, or the sum of these. The sum is
// taken once, when each term has been folded over the whole batch.
type weightTerm struct {
	*weight
	sum    bool
	second *[]*value // for the second term and the sum: memory of the second term, part by part
}

// split enters the nodes that make up the gradient of w into terms.
func (l *lowering) split(w *weight, terms map[*G.Node]*weightTerm) {
	if !isSum(w.grad.Op()) {
		terms[w.grad] = &weightTerm{weight: w}
		return
	}
	in, second := l.inputs(w.grad), new([]*value)
	if o, ours := in[1].Op().(*op); ours && o.placed {
		in[0], in[1] = in[1], in[0]
	}
	terms[in[0]] = &weightTerm{weight: w}
	terms[in[1]] = &weightTerm{weight: w, second: second}
	terms[w.grad] = &weightTerm{weight: w, sum: true, second: second}
}

// term appends the instructions of a node of a weight's gradient, one for each part.
func (l *lowering) term(n *G.Node, t *weightTerm) error {
	if t.sum {
		for i, p := range t.parts {
			o := l.sum(fmt.Sprintf("%s/%d", t.name, i), t.rowsOf(p))
			o.final = true
			out := &value{arg: o.out, memory: p.memory}
			l.code = append(l.code, &instr{op: o, out: out, in: []*value{out, (*t.second)[i]}})
		}
		return nil
	}
	o, ours := n.Op().(*op)
	switch {
	case !ours:
		return fmt.Errorf("%w: the gradient of %s has more than two terms", ErrGraph, t.name)
	case o.placed && t.second == nil:
		return nil
	case o.part == nil:
		return l.wholeTerm(n, o, t)
	}
	for _, p := range t.parts {
		out := &value{arg: t.rowsOf(p), memory: p.memory}
		if t.second != nil {
			out.memory = nil
			if l.run.count() > 1 {
				out.memory = l.keep(len(p.memory))
			}
			*t.second = append(*t.second, out)
		}
		if err := l.emit(o, out, l.inputs(n), p.rows, 0); err != nil {
			return err
		}
	}
	return nil
}

// wholeTerm computes all rows with an op that knows no parts, and copies those that are trained.
func (l *lowering) wholeTerm(n *G.Node, o *op, t *weightTerm) error {
	if l.run.count() > 1 || t.second != nil {
		return fmt.Errorf("%w: %v cannot be computed in parts", ErrGraph, o)
	}
	out := &value{arg: o.out}
	whole := len(t.parts) == 1 && len(t.parts[0].memory) == o.out.shape.TotalSize()
	if whole {
		out.memory = t.parts[0].memory
	}
	if err := l.emit(o, out, l.inputs(n), Range{}, 0); err != nil || whole {
		return err
	}
	for i, p := range t.parts {
		l.copy(fmt.Sprintf("%s/part %d", t.name, i), p.memory, out, p.rows.Lo, false)
	}
	return nil
}

// rowsOf is the type of a part of w.
func (w *weight) rowsOf(p part) arg {
	if len(w.arg.shape) < 2 {
		return vector(p.rows.Len())
	}
	return matrix(p.rows.Len(), w.arg.width())
}

package models

import (
	"fmt"
	"reflect"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// check refuses graphs that Gorgonia would accept and that would compute something else than was meant.
func (g *graph) check() error {
	hashes := make(map[uint32]*G.Node)
	sums := 0
	for _, n := range g.AllNodes() {
		if other, dup := hashes[n.Hashcode()]; dup {
			return fmt.Errorf("%w: %v and %v: %w", ErrGraph, n, other, errCollision)
		}
		hashes[n.Hashcode()] = n
		if isSum(n.Op()) {
			sums++
		}
		if err := g.checkShapes(n); err != nil {
			return err
		}
	}
	// A sum that was merged with another node would be missing here: apply cannot see it.
	if sums != g.fanIns {
		return fmt.Errorf("%w: %d sums of gradients, want %d: %w", ErrGraph, sums, g.fanIns, errCollision)
	}
	return nil
}

// checkShapes compares what Gorgonia inferred with what the operations declare: a gradient has the shape of what it is
// the gradient of, an operand that of its producer, a sum that of its terms.
func (g *graph) checkShapes(n *G.Node) error {
	if d := n.Deriv(); d != nil && !d.Shape().Eq(n.Shape()) {
		return fmt.Errorf("%w: gradient of %v %v has shape %v", ErrGraph, n, n.Shape(), d.Shape())
	}
	in := g.inputs(n)
	switch o := n.Op().(type) {
	case nil:
	case *op:
		if len(in) != len(o.args) || !o.out.shape.Eq(n.Shape()) {
			return fmt.Errorf("%w: %v: shape %v with %d inputs, want %v with %d", ErrGraph, o, n.Shape(), len(in), o.out.shape, len(o.args))
		}
		for i, c := range in {
			if !c.Shape().Eq(o.args[i].shape) || c.Dtype() != o.args[i].dt {
				return fmt.Errorf("%w: %v: input %d is %v %v, want %v %v", ErrGraph, o, i, c.Dtype(), c.Shape(), o.args[i].dt, o.args[i].shape)
			}
		}
	default:
		if isConst(n, in) {
			return nil
		}
		if !isSum(o) || len(in) != 2 || !in[0].Shape().Eq(n.Shape()) || !in[1].Shape().Eq(n.Shape()) {
			return fmt.Errorf("%w: foreign operation %v", ErrGraph, o)
		}
	}
	return nil
}

// inputs returns the operands of n in order.
func (g *graph) inputs(n *G.Node) []*G.Node {
	var in []*G.Node
	for it := g.From(n.ID()); it.Next(); {
		in = append(in, it.Node().(*G.Node))
	}
	return in
}

// isConst reports whether n is a constant, such as the 1 from which Grad starts. No op of this package reads it.
func isConst(n *G.Node, in []*G.Node) bool { return len(in) == 0 && n.Op() != nil && n.Value() != nil }

// isSum reports whether o is Gorgonia's own elementwise addition, which Grad inserts where gradients meet. It is never
// executed: the machine runs exact.Add in its place.
func isSum(o G.Op) bool {
	if _, ours := o.(*op); ours || o == nil {
		return false
	}
	for dims := 1; dims <= 2; dims++ {
		probe := G.NewGraph()
		shape := []int{2, 2}[:dims]
		a := G.NewTensor(probe, tensor.Float32, dims, G.WithShape(shape...), G.WithName("a"))
		b := G.NewTensor(probe, tensor.Float32, dims, G.WithShape(shape...), G.WithName("b"))
		s, err := G.Add(a, b)
		if err == nil && reflect.TypeOf(s.Op()) == reflect.TypeOf(o) && s.Op().Hashcode() == o.Hashcode() {
			return true
		}
	}
	return false
}

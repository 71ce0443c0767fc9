package models

import (
	"errors"
	"fmt"
	"hash"
	"hash/fnv"

	"github.com/chewxy/hm"
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// ErrGraph is wrapped by errors of graph construction: merged nodes, wrong shapes, foreign operations. It means a fault
// of this package, not of its caller.
var ErrGraph = errors.New("models: graph")

// arg is the type of one operand: its element type and shape. A scalar has the empty shape.
type arg struct {
	dt    tensor.Dtype
	shape tensor.Shape
}

func matrix(rows, cols int) arg { return arg{tensor.Float32, tensor.Shape{rows, cols}} }
func vector(n int) arg          { return arg{tensor.Float32, tensor.Shape{n}} }
func tokens(n int) arg          { return arg{tensor.Int32, tensor.Shape{n}} }
func scalar() arg               { return arg{tensor.Float32, tensor.ScalarShape()} }

// width returns the elements of a row: 1 for a vector.
func (a arg) width() int {
	if len(a.shape) < 2 {
		return 1
	}
	return a.shape[1]
}

func (a arg) hmType() hm.Type {
	if len(a.shape) == 0 {
		return a.dt
	}
	return G.TensorType{Dims: len(a.shape), Of: a.dt}
}

func (a arg) node(g *G.ExprGraph, name string) *G.Node {
	return G.NewTensor(g, a.dt, len(a.shape), G.WithShape(a.shape...), G.WithName(name))
}

// value wraps data, which must have the operand's element type and count, without a copy.
func (a arg) value(data any) G.Value {
	if len(a.shape) == 0 {
		return tensor.New(tensor.WithShape(1), tensor.WithBacking(data))
	}
	return tensor.New(tensor.WithShape(a.shape...), tensor.WithBacking(data))
}

// op is a Gorgonia operation whose arithmetic is one kernel over exact arithmetic. All operations of this package are
// values of this one type; op_*.go build them. An op belongs to one node of one graph, because kernels may own scratch
// memory that a forward op hands to its derivative.
type op struct {
	kind  string // what it computes: "linear", "rmsnorm", ...
	name  string // which one: unique in its graph together with kind
	attrs []any  // every parameter that is in neither args nor out: hashed
	args  []arg
	out   arg

	// overwrites is the input whose memory the output may take, or -1. The kernel must be right with and without.
	overwrites int
	// memory, if not nil, is where the output lies: an earlier op computes it as a by-product.
	memory []float32
	// run computes out, of out's element count, from the inputs. It must not keep out or allocate.
	run func(out []float32, in []G.Value)
	// part, if not nil, computes some rows of out into out, and from the second pass on adds to what is there.
	part func(out []float32, in []G.Value, rows Range)
	// placed says that the op whose output is the operand has written all parts of the weight that this is the gradient of.
	placed bool
	// final says that only the last pass over a batch runs the op.
	final bool
	// plus, if not nil, returns an op of one more operand, to which it adds what this one computes.
	plus func() *op
	// diff returns one gradient node per input, nil where wrt is false. Both nil: the op has no derivative.
	diff func(in G.Nodes, out, grad *G.Node) (G.Nodes, error)
	wrt  []bool
}

var (
	_ G.SDOp            = (*op)(nil)
	_ G.UsePreallocDoer = (*op)(nil)
)

// apply adds o to the graph of its inputs. Gorgonia merges nodes whose 32-bit hashes agree: apply reports a merge as an
// error, and so it does the panics of Gorgonia's type inference.
func apply(o *op, in ...*G.Node) (n *G.Node, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = nil, fmt.Errorf("%w: applying %v: %v", ErrGraph, o, r)
		}
	}()
	if n, err = G.ApplyOp(o, in...); err != nil {
		return nil, fmt.Errorf("%w: applying %v: %w", ErrGraph, o, err)
	}
	if n.Op() != G.Op(o) {
		return nil, fmt.Errorf("%w: %v was merged with %v: %w", ErrGraph, o, n.Op(), errCollision)
	}
	return n, nil
}

// errCollision marks a hash collision, which another salt cures.
var errCollision = errors.New("hash collision")

// Arity, Type, InferShape and the next few methods implement G.Op.
func (o *op) Arity() int { return len(o.args) }

// Type returns a fresh function type: Gorgonia recycles it after use.
func (o *op) Type() hm.Type {
	ts := make([]hm.Type, 0, len(o.args)+1)
	for _, a := range o.args {
		ts = append(ts, a.hmType())
	}
	return hm.NewFnType(append(ts, o.out.hmType())...)
}

func (o *op) InferShape(in ...G.DimSizer) (tensor.Shape, error) {
	for i, d := range in {
		if s, ok := d.(tensor.Shape); !ok || !s.Eq(o.args[i].shape) {
			return nil, fmt.Errorf("%w: %v: input %d has shape %v, want %v", ErrGraph, o, i, d, o.args[i].shape)
		}
	}
	return o.out.shape.Clone(), nil
}

// Do runs the op into fresh memory. The machine of this package uses UsePreallocDo instead.
func (o *op) Do(in ...G.Value) (G.Value, error) {
	return o.UsePreallocDo(o.out.value(make([]float32, o.out.shape.TotalSize())), in...)
}

// UsePreallocDo runs the op into prealloc. It panics where the engine does; the machine recovers.
func (o *op) UsePreallocDo(prealloc G.Value, in ...G.Value) (G.Value, error) {
	if len(in) != len(o.args) {
		return nil, fmt.Errorf("%w: %v: %d inputs, want %d", ErrGraph, o, len(in), len(o.args))
	}
	o.run(f32(prealloc), in)
	return prealloc, nil
}

func (o *op) ReturnsPtr() bool     { return true }
func (o *op) CallsExtern() bool    { return false }
func (o *op) OverwritesInput() int { return o.overwrites }
func (o *op) String() string       { return o.kind + "(" + o.name + ")" }

// WriteHash writes everything that tells this op from others.
func (o *op) WriteHash(h hash.Hash) {
	fmt.Fprintf(h, "%q %q %v %v", o.kind, o.name, o.attrs, o.overwrites)
	for _, a := range append([]arg{o.out}, o.args...) {
		fmt.Fprintf(h, " %v%v", a.dt, a.shape)
	}
}

func (o *op) Hashcode() uint32 {
	h := fnv.New32a()
	o.WriteHash(h)
	return h.Sum32()
}

// DiffWRT implements G.SDOp.
func (o *op) DiffWRT(int) []bool { return o.wrt }

// SymDiff implements G.SDOp.
func (o *op) SymDiff(in G.Nodes, out, grad *G.Node) (G.Nodes, error) {
	if o.diff == nil {
		return nil, fmt.Errorf("%w: %v has no derivative", ErrGraph, o)
	}
	return o.diff(in, out, grad)
}

// f32 and i32 return the elements of a value without allocating.
func f32(v G.Value) []float32 { return v.(*tensor.Dense).Float32s() }
func i32(v G.Value) []int32   { return v.(*tensor.Dense).Int32s() }

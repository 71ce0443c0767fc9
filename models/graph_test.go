package models

import (
	"errors"
	"hash/fnv"
	"math"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Each test here is one trap of Gorgonia's graph construction that this package has to avoid.

// TestMissingSumIsRefused: apply cannot see a merge of a node that Grad itself adds, the count of sums can.
func TestMissingSumIsRefused(t *testing.T) {
	g, err := assemble(env{Kernels: engine(t, 1, "ref")}, specs["tied"], 1, forTrain, ropeTable{}, wholeGradient(t, specs["tied"]))
	if err != nil {
		t.Fatal(err)
	}
	g.fanIns++
	if err := g.check(); !errors.Is(err, errCollision) {
		t.Errorf("error %v, want a collision", err)
	}
}

// TestMergedNodesAreRefused: two ops with one hash would become one node.
func TestMergedNodesAreRefused(t *testing.T) {
	e := env{Kernels: engine(t, 1, "ref")}
	g := G.NewGraph()
	x := matrix(4, 6).node(g, "x")
	if _, err := apply(e.swiglu("a", 4, 3), x); err != nil {
		t.Fatal(err)
	}
	if _, err := apply(e.swiglu("b", 4, 3), x); err != nil {
		t.Fatalf("ops of different names: %v", err)
	}
	if _, err := apply(e.swiglu("a", 4, 3), x); !errors.Is(err, errCollision) {
		t.Fatalf("ops of one name: %v, want a collision", err)
	}
}

// TestEveryParameterIsHashed changes one field of an op at a time.
func TestEveryParameterIsHashed(t *testing.T) {
	base := func() *op {
		return &op{kind: "k", name: "n", attrs: []any{1, float32(2)}, args: []arg{matrix(2, 3), tokens(4)}, out: vector(5), overwrites: -1}
	}
	changes := map[string]func(*op){
		"kind": func(o *op) { o.kind = "l" }, "name": func(o *op) { o.name = "m" },
		"boundary": func(o *op) { o.kind, o.name = "kn", "" },
		"attrs":    func(o *op) { o.attrs[1] = float32(math.Nextafter32(2, 3)) },
		"salt":     func(o *op) { o.attrs[0] = 2 },
		"arg":      func(o *op) { o.args[0] = matrix(3, 2) }, "type": func(o *op) { o.args[1] = vector(4) },
		"arity": func(o *op) { o.args = o.args[:1] }, "out": func(o *op) { o.out = vector(6) },
		"overwrites": func(o *op) { o.overwrites = 0 },
	}
	write := func(o *op) uint64 {
		h := fnv.New64a()
		o.WriteHash(h)
		return h.Sum64()
	}
	seen := map[uint64]string{write(base()): "base"}
	for name, change := range changes {
		o := base()
		change(o)
		if other, dup := seen[write(o)]; dup {
			t.Errorf("%s hashes like %s", name, other)
		}
		seen[write(o)] = name
	}
}

// TestHashesAreUnique covers a graph of more than 480 nodes.
func TestHashesAreUnique(t *testing.T) {
	eng := engine(t, 1, "ref")
	deep := specs["gqa"]
	deep.Layers = 24
	graphMu.Lock()
	defer graphMu.Unlock()
	g, err := build(eng, deep, 1, &passes{of: 1}, forTrain, ropeTable{}, wholeGradient(t, deep))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[uint32]bool)
	for _, n := range g.AllNodes() {
		if seen[n.Hashcode()] {
			t.Fatalf("%v: hash seen before", n)
		}
		seen[n.Hashcode()] = true
	}
	if n := len(seen); n < 24*20 {
		t.Fatalf("only %d nodes", n)
	}
}

// TestSaltChangesEveryHash: a new salt gives every node a new chance.
func TestSaltChangesEveryHash(t *testing.T) {
	eng := engine(t, 1, "ref")
	hashes := func(salt int) map[uint32]bool {
		g, err := assemble(env{Kernels: eng, salt: salt}, specs["tied"], 1, forTrain, ropeTable{}, wholeGradient(t, specs["tied"]))
		if err != nil {
			t.Fatal(err)
		}
		m := make(map[uint32]bool)
		for _, n := range g.AllNodes() {
			if !isConst(n, g.inputs(n)) {
				m[n.Hashcode()] = true
			}
		}
		return m
	}
	a, b := hashes(0), hashes(1)
	for h := range a {
		if b[h] {
			t.Errorf("hash %08x with both salts", h)
		}
	}
}

// wrongShape is an op that Gorgonia accepts: its inferred shape is not what its operands and gradient say.
type wrongShape struct{ *op }

func (wrongShape) InferShape(...G.DimSizer) (tensor.Shape, error) { return tensor.Shape{3, 8}, nil }

func TestWrongShapesAreRefused(t *testing.T) {
	e := env{Kernels: engine(t, 1, "ref")}
	newGraph := func() (*graph, *G.Node) {
		g := &graph{ExprGraph: G.NewGraph()}
		return g, matrix(4, 6).node(g.ExprGraph, "x")
	}
	t.Run("operand", func(t *testing.T) {
		_, x := newGraph()
		if _, err := apply(e.swiglu("a", 5, 3), x); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("rank", func(t *testing.T) {
		g, _ := newGraph()
		if _, err := apply(e.swiglu("a", 4, 3), vector(24).node(g.ExprGraph, "v")); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("element type", func(t *testing.T) {
		g, _ := newGraph()
		if _, err := apply(e.embed("a", 5, 4, 6), matrix(4, 6).node(g.ExprGraph, "t"), vector(5).node(g.ExprGraph, "v")); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("inferred", func(t *testing.T) {
		g, x := newGraph()
		if _, err := G.ApplyOp(wrongShape{e.swiglu("a", 4, 3)}, x); err != nil {
			t.Fatalf("Gorgonia has begun to notice: %v", err)
		}
		if err := g.check(); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("gradient", func(t *testing.T) {
		g, x := newGraph()
		o := e.swiglu("a", 4, 3)
		o.diff = func(_ G.Nodes, _, dy *G.Node) (G.Nodes, error) { return G.Nodes{dy}, nil }
		y, err := apply(o, x)
		if err != nil {
			t.Fatal(err)
		}
		loss, err := apply(weightedSum(e, o.out, make([]float32, 12)), y)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := G.Grad(loss, x); err != nil {
			t.Fatalf("Gorgonia has begun to notice: %v", err)
		}
		if err := g.check(); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("foreign operation", func(t *testing.T) {
		g, x := newGraph()
		if _, err := G.Sub(x, matrix(4, 6).node(g.ExprGraph, "z")); err != nil {
			t.Fatal(err)
		}
		if err := g.check(); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("input without memory", func(t *testing.T) {
		g, x := newGraph()
		y, err := apply(e.swiglu("a", 4, 3), x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := compile(e, g, map[*G.Node]any{y: make([]float32, 12)}, false); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
}

package models

import (
	"errors"
	"hash/fnv"
	"math"
	"runtime"
	"strings"
	"testing"
	"weak"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Each test here is one trap of Gorgonia's graph and tape machine that this package has to avoid.

func TestStepAllocatesNothing(t *testing.T) {
	spec := specs["tied"]
	m := fresh(t, spec, engine(t, 2, bestPath()), 2)
	tokens, targets := text(1, 2*spec.Context, spec.Vocab)
	for name, f := range map[string]func() error{
		"Step":   func() error { _, err := m.Step(tokens, targets); return err },
		"Loss":   func() error { _, err := m.Loss(tokens, targets); return err },
		"Logits": func() error { _, err := m.Logits(tokens[:3]); return err },
	} {
		if err := f(); err != nil { // plans, and grows the engine's scratch
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(10, func() { _ = f() }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// TestMemoryIsReused: intermediates share memory, so the plan of a forward pass does not grow with depth and that of a
// step grows by what backward reads only.
func TestMemoryIsReused(t *testing.T) {
	planned := func(layers int, p purpose) int {
		spec := small
		spec.Layers, spec.Context = layers, 16
		m, err := New(spec, engine(t, 1, "ref"), 1)
		if err != nil {
			t.Fatal(err)
		}
		prog, err := m.program(1, p)
		if err != nil {
			t.Fatal(err)
		}
		return prog.machine.floats
	}
	if a, b := planned(2, forLogits), planned(6, forLogits); a != b {
		t.Errorf("forward pass: 2 layers plan %d elements, 6 layers %d", a, b)
	}
	perLayer := (planned(6, forTrain) - planned(2, forTrain)) / 4
	rows, d, f := 16, small.Dim, small.FFN
	// x, its norm, q|k|v and attention; x, its norm, gate|up and swiglu
	if want := rows * (2*d + 3*d + d + 2*d + 3*f); perLayer != want {
		t.Errorf("a layer keeps %d elements for backward, want %d", perLayer, want)
	}
}

// TestActivationsBoundThePlan: what New checks before it allocates is no less than what it then plans.
func TestActivationsBoundThePlan(t *testing.T) {
	for name, spec := range specs {
		m, err := New(spec, engine(t, 1, "ref"), 3)
		if err != nil {
			t.Fatal(err)
		}
		// a tied embedding's two gradients meet in planned memory of the size of the table
		if got, bound := m.train.machine.floats, activations(spec, 3)+2*spec.Vocab*spec.Dim; got > bound {
			t.Errorf("%s: %d elements planned, bound %d", name, got, bound)
		}
	}
	huge := small
	huge.Vocab, huge.Context = 1<<20, 1<<17
	if _, err := New(huge, nil, 1); err == nil {
		t.Error("a step of 2^37 logits was accepted")
	}
}

// TestModelIsCollected: neither Gorgonia's pools nor ours keep a model alive.
func TestModelIsCollected(t *testing.T) {
	eng := engine(t, 1, "ref")
	m := fresh(t, specs["plain"], eng, 1)
	tokens, targets := text(1, 5, 11)
	if _, err := m.Step(tokens, targets); err != nil {
		t.Fatal(err)
	}
	theta, step := weak.Make(&m.theta[0]), weak.Make(&m.train.machine.steps[0])
	// The engine remembers the arguments of its last call; another model takes their place.
	m = fresh(t, specs["plain"], eng, 1)
	if _, err := m.Step(tokens, targets); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		runtime.GC()
	}
	if theta.Value() != nil || step.Value() != nil {
		t.Error("a dropped model is still reachable")
	}
	runtime.KeepAlive(m)
}

// TestStaleMemoryIsIgnored: a step computes the same from memory full of NaN, so every op writes all of its output, as
// its declared shape says, and nothing accumulates across steps.
func TestStaleMemoryIsIgnored(t *testing.T) {
	for name, spec := range specs {
		m := fresh(t, spec, engine(t, 1, "ref"), 2)
		tokens, targets := text(1, 2*spec.Context, spec.Vocab)
		run := func() string {
			loss, err := m.Step(tokens, targets)
			if err != nil {
				t.Fatal(err)
			}
			return digest([]float32{loss}, m.Grads())
		}
		want := run()
		for _, s := range m.train.machine.steps {
			o, out := s.op.(*op), f32(s.out)
			if o.kind != "crossentropy.dx" && &out[0] != &m.theta[0] {
				for i := range out {
					out[i] = float32(math.NaN())
				}
			}
		}
		if got := run(); got != want {
			t.Errorf("%s: digest %s after poisoning, want %s", name, got, want)
		}
	}
}

func TestPanicBecomesError(t *testing.T) {
	e := env{Engine: engine(t, 2, "ref")}
	o := e.op("boom", "x")
	o.args, o.out = []arg{vector(3)}, vector(3)
	for name, run := range map[string]func([]float32, []G.Value){
		"own":    func([]float32, []G.Value) { panic("boom") },
		"engine": func(y []float32, _ []G.Value) { e.Add(y, y[:1], y) },
		"index":  func(y []float32, _ []G.Value) { y[len(y)-len(y[1:])+2]++ },
	} {
		o.run = run
		g := &graph{ExprGraph: G.NewGraph()}
		x := vector(3).node(g.ExprGraph, "x")
		y, err := apply(o, x)
		if err != nil {
			t.Fatal(err)
		}
		m, err := compile(e, g, map[*G.Node]any{x: make([]float32, 3), y: make([]float32, 3)})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.RunAll(); err == nil || !strings.Contains(err.Error(), "boom(x)") {
			t.Errorf("%s: error %v does not name the op", name, err)
		}
	}
}

// TestModelSurvivesPanic: after a failed run the next one is right.
func TestModelSurvivesPanic(t *testing.T) {
	spec := specs["gqa"]
	m := fresh(t, spec, engine(t, 2, "ref"), 1)
	tokens, targets := text(1, spec.Context, spec.Vocab)
	if _, err := m.Step(tokens, targets); err != nil {
		t.Fatal(err)
	}
	want := digest(m.Grads())
	s := &m.train.machine.steps[len(m.train.machine.steps)/2]
	saved := s.in
	s.in = []G.Value{nil, nil, nil}[:len(saved)]
	if _, err := m.Step(tokens, targets); err == nil {
		t.Fatal("an op without operands ran")
	}
	s.in = saved
	if _, err := m.Step(tokens, targets); err != nil || digest(m.Grads()) != want {
		t.Fatalf("after a failed step: %v, digest differs: %v", err, digest(m.Grads()) != want)
	}
}

// TestSumIsNotInPlace: where gradients meet, the sum has memory that neither term has.
func TestSumIsNotInPlace(t *testing.T) {
	for name, spec := range specs {
		m := fresh(t, spec, engine(t, 1, "ref"), 1)
		sums := 0
		for _, s := range m.train.machine.steps {
			if s.op.(*op).kind != "sum" {
				continue
			}
			sums++
			for _, in := range s.in {
				if &f32(in)[0] == &f32(s.out)[0] {
					t.Errorf("%s: %v writes over its operand", name, s.op)
				}
			}
		}
		want := 2 * spec.Layers
		if spec.Tied {
			want++
		}
		if sums != want {
			t.Errorf("%s: %d sums, want %d", name, sums, want)
		}
	}
}

// TestMergedNodesAreRefused: two ops with one hash would become one node.
func TestMergedNodesAreRefused(t *testing.T) {
	e := env{Engine: engine(t, 1, "ref")}
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
	g, err := build(eng, deep, 1, forTrain, ropeTable{})
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
		g, err := assemble(env{eng, salt}, specs["tied"], 1, forTrain, ropeTable{})
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
	e := env{Engine: engine(t, 1, "ref")}
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
		if _, err := compile(e, g, map[*G.Node]any{y: make([]float32, 12)}); !errors.Is(err, ErrGraph) {
			t.Errorf("error %v", err)
		}
	})
}

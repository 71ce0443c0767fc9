package models

import (
	"math"
	"runtime"
	"strings"
	"testing"
	"weak"

	"drystone/protocol"

	G "gorgonia.org/gorgonia"
)

// Each test here is one trap of Gorgonia's tape machine that this package has to avoid.

func TestStepAllocatesNothing(t *testing.T) {
	spec := specs["tied"]
	m := fresh(t, spec, engine(t, 2, bestPath()), 2)
	tokens, targets := text(1, 2*spec.Context, spec.Vocab)
	for name, f := range map[string]func() error{
		"Step":   func() error { _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); return err },
		"Loss":   func() error { _, err := m.Loss(Inputs{Tokens: tokens, Targets: targets}); return err },
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
		m, err := New(spec, engine(t, 1, "ref"), 1, Options{})
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
		for _, again := range []bool{false, true} {
			m, err := New(spec, engine(t, 1, "ref"), 3, Options{Recompute: again})
			if err != nil {
				t.Fatal(err)
			}
			// On top come a tied embedding's second gradient, gradients of gains, and what rounding places up takes.
			got, bound := m.Memory(), llama{}.activations(spec, 3, again)+(spec.Vocab+2*spec.Layers+1)*spec.Dim+32*arenaAlign
			if got.Arena+got.Kept > 4*bound {
				t.Errorf("%s: %d and %d bytes planned, bound %d", name, got.Arena, got.Kept, 4*bound)
			}
		}
	}
	for _, specs := range []map[string]protocol.ModelSpec{exampleSpecs, wideExamples} {
		for name, spec := range specs {
			f, err := familyOf(spec)
			if err != nil {
				t.Fatal(err)
			}
			for _, again := range []bool{false, true} {
				m, err := New(spec, engine(t, 1, "ref"), 16, Options{Recompute: again})
				if err != nil {
					t.Fatal(err)
				}
				// On top come the sums of biases.
				got, bound := m.Memory(), f.activations(spec, 16, again)+(spec.Layers+1)*(spec.Dim+spec.Outputs)+32*arenaAlign
				if got.Arena+got.Kept > 4*bound {
					t.Errorf("%s: %d and %d bytes planned, bound %d", name, got.Arena, got.Kept, 4*bound)
				}
			}
		}
	}
	if _, err := New(small, nil, maxRows/small.Context, Options{}); err == nil {
		t.Error("a step of 2^24 rows was accepted")
	}
}

// TestModelIsCollected: neither Gorgonia's pools nor ours keep a model alive.
func TestModelIsCollected(t *testing.T) {
	eng := engine(t, 1, "ref")
	m := fresh(t, specs["plain"], eng, 1)
	tokens, targets := text(1, 5, 11)
	if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
		t.Fatal(err)
	}
	theta, step := weak.Make(&m.theta[0]), weak.Make(&m.train.machine.steps[0])
	// The engine remembers the arguments of its last call; another model takes their place.
	m = fresh(t, specs["plain"], eng, 1)
	if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
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
			loss, err := m.Step(Inputs{Tokens: tokens, Targets: targets})
			if err != nil {
				t.Fatal(err)
			}
			return digest([]float32{loss}, m.Grads())
		}
		want := run()
		for _, s := range m.train.machine.steps {
			o, out := s.op, f32(s.out)
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
	e := env{Kernels: engine(t, 2, "ref")}
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
		m, err := compile(e, g, map[*G.Node]any{x: make([]float32, 3), y: make([]float32, 3)}, false)
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
	if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
		t.Fatal(err)
	}
	want := digest(m.Grads())
	s := &m.train.machine.steps[len(m.train.machine.steps)/2]
	saved := s.in
	s.in = []G.Value{nil, nil, nil}[:len(saved)]
	if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err == nil {
		t.Fatal("an op without operands ran")
	}
	s.in = saved
	if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil || digest(m.Grads()) != want {
		t.Fatalf("after a failed step: %v, digest differs: %v", err, digest(m.Grads()) != want)
	}
}

// TestSumsAreFused: of the sums of gradients only that of a tied embedding is a step of its own. It runs in the first
// term's memory, which is where it belongs, and leaves the second alone.
func TestSumsAreFused(t *testing.T) {
	for name, spec := range specs {
		m := fresh(t, spec, engine(t, 1, "ref"), 1)
		sums, fused := 0, 0
		for _, s := range m.train.machine.steps {
			switch {
			case s.op.kind == "rmsnorm.dx" && len(s.in) == 4:
				fused++
				if out, plus := &f32(s.out)[0], &f32(s.in[3])[0]; out == plus {
					t.Errorf("%s: %v writes over what it adds", name, s.op)
				}
			case s.op.kind == "sum":
				sums++
				if &f32(s.in[1])[0] == &f32(s.out)[0] || &f32(s.out)[0] != &m.Grads()[0] {
					t.Errorf("%s: %v writes over its second term, or elsewhere than to the gradient", name, s.op)
				}
			}
		}
		want := 0
		if spec.Tied {
			want = 1
		}
		if sums != want || fused != 2*spec.Layers {
			t.Errorf("%s: %d sums, %d of them fused; want %d and %d", name, sums, fused, want, 2*spec.Layers)
		}
	}
}

// TestLiveOperandIsNotOverwritten: an op that could take its operand's memory gets its own while another op still reads
// that operand, and takes it otherwise.
func TestLiveOperandIsNotOverwritten(t *testing.T) {
	e := env{Kernels: engine(t, 1, "ref")}
	double := func(name string) *op {
		o := e.op("double", name)
		o.args, o.out, o.overwrites = []arg{vector(2)}, vector(2), 0
		o.run = func(y []float32, v []G.Value) { e.Scale(y, f32(v[0]), 2) }
		return o
	}
	plus := e.op("plus", "x")
	plus.args, plus.out = []arg{vector(2), vector(2)}, vector(2)
	plus.run = func(y []float32, v []G.Value) { e.Add(y, f32(v[0]), f32(v[1])) }

	b := newBuilder(&graph{ExprGraph: G.NewGraph()})
	x := vector(2).node(b.ExprGraph, "x")
	first := b.apply(double("1"), x)
	second := b.apply(double("2"), first)
	third := b.apply(double("3"), second)
	y := b.apply(plus, first, third) // first is alive until here, second is not
	if b.err != nil {
		t.Fatal(b.err)
	}
	out := make([]float32, 2)
	m, err := compile(e, b.graph, map[*G.Node]any{x: []float32{1, 10}, y: out}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.RunAll(); err != nil || out[0] != 10 || out[1] != 100 {
		t.Errorf("2x + 8x = %v, %v", out, err)
	}
	if want := 2 + arenaAlign; m.floats != want {
		t.Errorf("%d elements planned, want %d: two vectors of 2", m.floats, want)
	}
}

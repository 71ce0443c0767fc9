package models

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"

	"pgregory.net/rapid"
)

// drawModel draws a small model and a batch of one to three blocks of 128 rows.
func drawModel(t *rapid.T) (spec protocol.ModelSpec, batch int) {
	kv := rapid.IntRange(1, 2).Draw(t, "kv_heads")
	heads := kv * rapid.IntRange(1, 2).Draw(t, "group")
	context := 1 << rapid.IntRange(5, 7).Draw(t, "context")
	return protocol.ModelSpec{
		Family: "llama", Dim: heads * 2 * rapid.IntRange(1, 3).Draw(t, "head"), Layers: rapid.IntRange(1, 3).Draw(t, "layers"),
		Heads: heads, KVHeads: kv, FFN: rapid.IntRange(1, 12).Draw(t, "ffn"), Vocab: rapid.IntRange(2, 40).Draw(t, "vocab"),
		Context: context, NormEps: 1e-5, RopeTheta: 10000, Tied: rapid.Bool().Draw(t, "tied"),
	}, rapid.IntRange(1, 3).Draw(t, "blocks") * passRows / context
}

func drawOptions(t *rapid.T, spec protocol.ModelSpec, batch, params int) Options {
	opts := Options{Recompute: rapid.Bool().Draw(t, "recompute")}
	if blocks := batch * max(spec.Context, 1) / passRows; rapid.Bool().Draw(t, "micro") {
		opts.MicroBatch = batch / blocks
	}
	cuts := rapid.SliceOfN(rapid.IntRange(0, params), 0, 8).Draw(t, "cuts")
	slices.Sort(cuts)
	for i := 1; i < len(cuts); i++ {
		if cuts[i] > cuts[i-1] && rapid.IntRange(0, 2).Draw(t, "skip") > 0 {
			opts.Trained = append(opts.Trained, Range{cuts[i-1], cuts[i]})
		}
	}
	return opts
}

// concat returns the ranges of x one after the other.
func concat(x []float32, ranges []Range) []float32 {
	var y []float32
	for _, r := range ranges {
		y = append(y, x[r.Lo:r.Hi]...)
	}
	return y
}

// descend moves the trained ranges against the gradient.
func descend(m *Model) {
	at := 0
	for _, r := range m.Trained() {
		m.eng.FMA(m.Params()[r.Lo:r.Hi], -0.1, m.Grads()[at:at+r.Len()])
		at += r.Len()
	}
}

// follow trains m and whole, of which only m's ranges move, side by side and fails where they part.
func follow(t rapid.TB, whole, m *Model, steps int) {
	for step := range steps {
		in := inputsFor(uint64(step), m.spec, m.batch)
		want, err := whole.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Step(in)
		if err != nil {
			t.Fatal(err)
		}
		eval := got
		if step == 0 {
			if eval, err = m.Loss(in); err != nil {
				t.Fatal(err)
			}
		}
		part := concat(whole.Grads(), m.Trained())
		if digest([]float32{got, eval}, m.Grads()) != digest([]float32{want, want}, part) {
			at := 0
			for i, g := range m.Grads() {
				if digest([]float32{g}) != digest(part[i:i+1]) {
					at = i
					break
				}
			}
			t.Fatalf("step %d: loss %x, %x, gradient %d %x; want %x, %x", step, got, eval, at, m.Grads()[at], want, part[at])
		}
		descend(m)
		copy(whole.Params(), m.Params())
	}
}

// poison fills what a step writes with NaN: the next one must not read it.
func poison(m *Model) {
	fill := func(x []float32) {
		for i := range x {
			x[i] = float32(math.NaN())
		}
	}
	for _, s := range m.train.machine.steps {
		fill(f32(s.out))
	}
	fill(m.Grads())
}

// TestOptionsChangeNoBit: any choice of trained ranges, passes and recomputation gives the plain step's loss and, for
// those ranges, gradient.
func TestOptionsChangeNoBit(t *testing.T) {
	engines := []*exact.Engine{engine(t, 3, bestPath()), engine(t, 1, "ref")}
	rapid.Check(t, func(rt *rapid.T) {
		spec, batch := drawModel(rt)
		eng := engines[max(0, rapid.IntRange(-4, 1).Draw(rt, "engine"))]
		whole := fresh(t, spec, eng, batch)
		opts := drawOptions(rt, spec, batch, len(whole.Params()))
		m, err := New(spec, eng, batch, opts)
		if err != nil {
			rt.Fatal(err)
		}
		enlarge(whole.Params())
		copy(m.Params(), whole.Params())
		follow(rt, whole, m, 1)
		poison(m)
		follow(rt, whole, m, 1)
	})
}

// combinations are all choices together and one by one, for 8 sequences of 128 tokens.
func combinations(params int) map[string]Options {
	shards := []Range{{0, 777}, {9000, 13000}, {13000, 15001}, {params - 400, params - 5}}
	all := make(map[string]Options)
	for _, micro := range []int{0, 4} {
		for _, again := range []bool{false, true} {
			for _, trained := range [][]Range{nil, shards} {
				all[fmt.Sprintf("micro %d, recompute %v, %d ranges", micro, again, len(trained))] = Options{trained, micro, again}
			}
		}
	}
	return all
}

// TestTrainingWithOptions: 20 steps of every combination end in the same bits.
func TestTrainingWithOptions(t *testing.T) {
	steps := 20
	if testing.Short() {
		steps = 3
	}
	for _, tied := range []bool{false, true} {
		spec := protocol.ModelSpec{Family: "llama", Dim: 64, Layers: 2, Heads: 2, KVHeads: 1, FFN: 48, Vocab: 64, Context: 128,
			NormEps: 1e-5, RopeTheta: 10000, Tied: tied}
		eng := engine(t, 1, bestPath())
		for name, opts := range combinations(len(fresh(t, spec, eng, 8).Params())) {
			t.Run(fmt.Sprintf("%s, tied %v", name, tied), func(t *testing.T) {
				whole := fresh(t, spec, eng, 8)
				m, err := New(spec, eng, 8, opts)
				if err != nil {
					t.Fatal(err)
				}
				copy(m.Params(), whole.Params())
				follow(t, whole, m, steps)
				tokens, targets := text(1, 8*spec.Context, spec.Vocab)
				if n := testing.AllocsPerRun(5, func() {
					_, _ = m.Step(Inputs{Tokens: tokens, Targets: targets})
					_, _ = m.Loss(Inputs{Tokens: tokens, Targets: targets})
				}); n != 0 {
					t.Errorf("Step and Loss allocate %v times", n)
				}
			})
		}
	}
}

// TestOptionsAreChecked: what does not fit is refused by name.
func TestOptionsAreChecked(t *testing.T) {
	spec := specs["plain"]
	eng := engine(t, 1, "ref")
	total := len(fresh(t, spec, eng, 1).Params())
	for name, opts := range map[string]Options{
		"micro-batch":         {MicroBatch: 3},
		"micro-batch of":      {MicroBatch: -1},
		"multiple of 128":     {MicroBatch: 2},
		"[3, 3)":              {Trained: []Range{{3, 3}}},
		"[5, 4)":              {Trained: []Range{{5, 4}}},
		"[-1, 4)":             {Trained: []Range{{-1, 4}}},
		"[9, 12)":             {Trained: []Range{{0, 10}, {9, 12}}},
		"[0, 2)":              {Trained: []Range{{4, 6}, {0, 2}}},
		fmt.Sprint(total + 1): {Trained: []Range{{0, total + 1}}},
	} {
		if _, err := New(spec, eng, 4, opts); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPartsOfAGradient: parts and cuts of a weight cover exactly its trained elements, in place where rows are whole.
func TestPartsOfAGradient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cols, offset := rapid.IntRange(1, 9).Draw(t, "rows"), rapid.IntRange(1, 7).Draw(t, "cols"), rapid.IntRange(0, 9).Draw(t, "offset")
		total := offset + rows*cols + rapid.IntRange(0, 5).Draw(t, "behind")
		opts := drawOptions(t, protocol.ModelSpec{Context: passRows}, 1, total)
		if len(opts.Trained) == 0 {
			return
		}
		g := newGradient(opts.Trained, exact.Floats)
		parts, cuts := g.of(offset, rows, cols)
		seen := make(map[int]bool)
		for _, p := range parts {
			for r := p.rows.Lo; r < p.rows.Hi; r++ {
				if seen[r] || r >= rows {
					t.Fatalf("row %d of %v", r, parts)
				}
				seen[r] = true
				for j := range cols {
					p.memory[(r-p.rows.Lo)*cols+j] = float32(offset + r*cols + j)
				}
			}
		}
		for _, c := range cuts {
			if len(c.dst) != len(c.src) {
				t.Fatalf("cut of %d into %d", len(c.src), len(c.dst))
			}
			copy(c.dst, c.src)
		}
		at := 0
		for _, r := range opts.Trained {
			for i := r.Lo; i < r.Hi; i++ {
				want := float32(i)
				if i < offset || i >= offset+rows*cols {
					want = 0
				}
				if g.memory[at] != want {
					t.Fatalf("element %d is %v", i, g.memory[at])
				}
				at++
			}
		}
	})
}

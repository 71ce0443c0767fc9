package models

import (
	"slices"
	"strings"
	"testing"
)

// TestTrainedRangesPrune: below the lowest trained layer the way back does nothing, and memory falls with the share.
func TestTrainedRangesPrune(t *testing.T) {
	spec := small
	spec.Layers, spec.Context = 3, 32
	params, total, err := Layout(spec)
	if err != nil {
		t.Fatal(err)
	}
	from := slices.IndexFunc(params, func(p Param) bool { return p.Name == "model.layers.1.self_attn.o_proj.weight" })
	eng := engine(t, 1, "ref")
	plan := func(lo, hi int) *Model {
		m, err := New(spec, eng, 2, Options{Trained: []Range{{lo, hi}}})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	whole, upper := plan(0, total), plan(params[from].Offset+1000, total)
	for _, s := range upper.train.machine.steps {
		name, back := s.op.name, strings.Contains(s.op.kind, ".d")
		if back && (strings.HasPrefix(name, "0.") || name == "1.qkv" || name == "1.attn_norm" || name == "embed" || name == "1.attention") {
			t.Errorf("%v is computed for weights that are frozen", s.op)
		}
		if s.op.kind == "linear.dx" && name == "1.o" {
			t.Errorf("%v has nothing below it to train", s.op)
		}
	}
	if n := total - params[from].Offset - 1000; len(upper.Grads()) != n {
		t.Errorf("%d gradients, want %d", len(upper.Grads()), n)
	}
	a, b := whole.Memory(), upper.Memory()
	if rows := 2 * spec.Context; a.Arena-b.Arena < 4*rows*(7*spec.Dim+3*spec.FFN) {
		t.Errorf("arena of %d bytes with all trained, %d with less than two layers", a.Arena, b.Arena)
	}
	if shard := plan(5000, 9096).Memory(); shard.Grads != 4*4096 {
		t.Errorf("%d bytes of gradient for a shard of 4096", shard.Grads)
	}
}

// TestRecomputeSavesMemory: with recomputation a layer more takes its input only.
func TestRecomputeSavesMemory(t *testing.T) {
	spec := small
	spec.Context = 32
	plan := func(layers int, opts Options) Memory {
		spec.Layers = layers
		m, err := New(spec, engine(t, 1, "ref"), 32, opts)
		if err != nil {
			t.Fatal(err)
		}
		return m.Memory()
	}
	rows := 32 * spec.Context
	again := plan(6, Options{Recompute: true}).Arena - plan(2, Options{Recompute: true}).Arena
	if want := 4 * 4 * rows * spec.Dim; again != want {
		t.Errorf("4 layers more take %d bytes, want %d", again, want)
	}
	one, half := plan(2, Options{}).Arena, plan(2, Options{MicroBatch: 16}).Arena
	if half > one/2+1024 {
		t.Errorf("half the rows per pass take %d bytes, all %d", half, one)
	}
}

// choices are the options whose memory and time are shown.
func choices(m benchModel) []struct {
	name string
	opts Options
} {
	_, total, err := Layout(m.spec)
	if err != nil {
		panic(err)
	}
	upper, micro := []Range{{total / 2, total}}, 512/m.spec.Context
	return []struct {
		name string
		opts Options
	}{
		{"plain", Options{}},
		{"micro", Options{MicroBatch: micro}},
		{"recompute", Options{Recompute: true}},
		{"both", Options{MicroBatch: micro, Recompute: true}},
		{"half", Options{Trained: upper}},
	}
}

// TestMemoryOfChoices shows what a step of the published models takes, and that every choice takes less than none.
func TestMemoryOfChoices(t *testing.T) {
	for _, b := range benchModels {
		var plain int
		for _, c := range choices(b) {
			m, err := New(b.spec, engine(t, 1, "ref"), b.batch, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			mem := m.Memory()
			total := mem.Params + 3*mem.Grads + mem.Arena + mem.Kept // with two moments per gradient
			if c.name == "plain" {
				plain = total
			} else if total >= plain {
				t.Errorf("%s, %s: %d bytes, plain %d", b.name, c.name, total, plain)
			}
			mib := func(n int) float64 { return float64(n) / (1 << 20) }
			t.Logf("%s %-10s params %5.1f MiB, grads %5.1f, moments %5.1f, arena %5.1f, kept %3.1f, all %5.1f", b.name, c.name,
				mib(mem.Params), mib(mem.Grads), mib(2*mem.Grads), mib(mem.Arena), mib(mem.Kept), mib(total))
		}
	}
}

// BenchmarkChoices is forward and backward of the smaller published model with each choice.
func BenchmarkChoices(b *testing.B) {
	model := benchModels[0]
	for _, c := range choices(model) {
		b.Run(c.name, func(b *testing.B) {
			m, err := New(model.spec, engine(b, 2, bestPath()), model.batch, c.opts)
			if err != nil {
				b.Fatal(err)
			}
			tokens, targets := text(1, model.batch*model.spec.Context, model.spec.Vocab)
			for b.Loop() {
				if _, err := m.Step(Inputs{Tokens: tokens, Targets: targets}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

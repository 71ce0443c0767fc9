package models

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"

	"pgregory.net/rapid"
)

// exampleSpecs are small models on examples that between them use every branch of mlp.go and convnet.go.
var exampleSpecs = map[string]protocol.ModelSpec{
	"classifier": {Family: "mlp", Dim: 7, Layers: 2, Inputs: 5, Outputs: 3, Loss: "cross-entropy"},
	"regressor":  {Family: "mlp", Dim: 6, Layers: 1, Inputs: 4, Outputs: 2, Loss: "squared-error"},
	"one value":  {Family: "mlp", Dim: 1, Layers: 3, Inputs: 1, Outputs: 1, Loss: "squared-error"},
	"convnet":    {Family: "convnet", Dim: 3, Layers: 2, Height: 7, Width: 5, Channels: 2, Outputs: 4, Loss: "cross-entropy"},
	"one block":  {Family: "convnet", Dim: 2, Layers: 1, Height: 2, Width: 3, Channels: 1, Outputs: 2, Loss: "cross-entropy"},
}

// examplesFor returns a batch of random examples.
func examplesFor(seed uint64, spec protocol.ModelSpec, batch int) Inputs {
	r := rand.New(rand.NewPCG(seed, 5))
	in := NewInputs(spec, batch)
	for i := range in.Features {
		in.Features[i] = float32(r.NormFloat64())
	}
	for i := range in.Targets {
		in.Targets[i] = r.Int32N(int32(spec.Outputs))
	}
	for i := range in.Values {
		in.Values[i] = float32(r.NormFloat64())
	}
	return in
}

// inputsFor returns a random batch for any family.
func inputsFor(seed uint64, spec protocol.ModelSpec, batch int) Inputs {
	if spec.OnExamples() {
		return examplesFor(seed, spec, batch)
	}
	tokens, targets := text(seed, batch*spec.Context, spec.Vocab)
	return Inputs{Tokens: tokens, Targets: targets}
}

// TestExamplesAgainstFloat64 checks loss, outputs and the whole gradient of the families on examples against float64 and
// its central differences, on every code path.
func TestExamplesAgainstFloat64(t *testing.T) {
	for name, spec := range exampleSpecs {
		for _, path := range exact.Paths() {
			t.Run(name+"/"+path, func(t *testing.T) {
				const batch = 5
				m := fresh(t, spec, engine(t, 2, path), batch)
				for i := range m.Params() {
					m.Params()[i] += float32(i%7) / 20 // biases too
				}
				in := examplesFor(3, spec, batch)
				loss, err := m.Step(in)
				if err != nil {
					t.Fatal(err)
				}
				theta, x := widen(m.Params()), widen(in.Features)
				ref := func() float64 { return refLoss(spec, refOutputs(spec, theta, x, batch), in) }
				closeTo(t, "loss", []float32{loss}, []float64{ref()}, 1e-5)
				closeTo(t, "gradient", m.Grads(), centralDifferences(theta, ref), 2e-5)

				again, err := m.Loss(in)
				if err != nil || math.Float32bits(again) != math.Float32bits(loss) {
					t.Fatalf("Loss = %v, %v; Step said %v", again, err, loss)
				}
				outputs, err := m.Outputs(in.Features)
				if err != nil {
					t.Fatal(err)
				}
				all := slices.Clone(outputs)
				closeTo(t, "outputs", all, refOutputs(spec, theta, x, batch), 1e-5)
				two, err := m.Outputs(in.Features[:2*spec.Features()])
				if err != nil || digest(two) != digest(all[:2*spec.Outputs]) {
					t.Errorf("the first two examples alone: %v, of five %v, %v", two, all, err)
				}
			})
		}
	}
}

// wideExamples cross the blocks of 128 rows and terms in which folds are cut.
var wideExamples = map[string]protocol.ModelSpec{
	"wide mlp":     {Family: "mlp", Dim: 40, Layers: 2, Inputs: 530, Outputs: 10, Loss: "cross-entropy"},
	"wide convnet": {Family: "convnet", Dim: 18, Layers: 2, Height: 12, Width: 12, Channels: 3, Outputs: 10, Loss: "cross-entropy"},
}

// TestExamplesTrainingIsExact: as TestTrainingIsExact, for the families on examples.
func TestExamplesTrainingIsExact(t *testing.T) {
	for i, path := range exact.Paths() {
		for threads := 1; threads <= 4; threads += 1 + i%2 {
			t.Run(fmt.Sprintf("%s/%d", path, threads), func(t *testing.T) {
				eng := engine(t, threads, path)
				got := make(map[string]string)
				for _, specs := range []map[string]protocol.ModelSpec{exampleSpecs, wideExamples} {
					for name, spec := range specs {
						got[name] = sgdExamples(t, spec, eng, 20)
					}
				}
				golden(t, "sgd-examples.json", got)
			})
		}
	}
}

// sgdExamples trains 5 steps of plain gradient descent.
func sgdExamples(t *testing.T, spec protocol.ModelSpec, eng *exact.Engine, batch int) string {
	m := fresh(t, spec, eng, batch)
	var losses []float32
	for i := range 5 {
		loss, err := m.Step(examplesFor(uint64(i), spec, batch))
		if err != nil {
			t.Fatal(err)
		}
		losses = append(losses, loss)
		eng.FMA(m.Params(), -0.1, m.Grads())
	}
	return digest(losses, m.Params(), m.Grads())
}

// TestExamplesOptionsChangeNoBit: as TestOptionsChangeNoBit, for the families on examples.
func TestExamplesOptionsChangeNoBit(t *testing.T) {
	eng := engine(t, 2, bestPath())
	rapid.Check(t, func(rt *rapid.T) {
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(exampleSpecs))).Draw(rt, "spec")
		spec, blocks := exampleSpecs[name], rapid.IntRange(1, 3).Draw(rt, "blocks")
		batch := blocks * passRows
		whole := fresh(t, spec, eng, batch)
		opts := drawOptions(rt, spec, batch, len(whole.Params()))
		m, err := New(spec, eng, batch, opts)
		if err != nil {
			rt.Fatal(err)
		}
		copy(m.Params(), whole.Params())
		follow(rt, whole, m, 2)
	})
}

// TestExamplesAllocateNothing: as for the decoder, nothing after the first call.
func TestExamplesAllocateNothing(t *testing.T) {
	for name, spec := range exampleSpecs {
		m := fresh(t, spec, engine(t, 2, bestPath()), 4)
		in := examplesFor(1, spec, 4)
		for what, f := range map[string]func() error{
			"Step":    func() error { _, err := m.Step(in); return err },
			"Loss":    func() error { _, err := m.Loss(in); return err },
			"Outputs": func() error { _, err := m.Outputs(in.Features); return err },
		} {
			if n := testing.AllocsPerRun(5, func() {
				if err := f(); err != nil {
					t.Fatal(err)
				}
			}); n != 0 {
				t.Errorf("%s of %s: %v allocations", what, name, n)
			}
		}
	}
}

// TestExamplesLearn: each family fits a function that a linear model cannot.
func TestExamplesLearn(t *testing.T) {
	const batch = 32
	xor := func(seed uint64, spec protocol.ModelSpec) Inputs {
		in := examplesFor(seed, spec, batch)
		width := spec.Features()
		for i := range batch {
			same := (in.Features[i*width] > 0) == (in.Features[i*width+1] > 0)
			switch {
			case in.Values != nil && same:
				in.Values[i] = 1
			case in.Values != nil:
				in.Values[i] = -1
			case same:
				in.Targets[i] = 1
			default:
				in.Targets[i] = 0
			}
		}
		return in
	}
	for name, spec := range map[string]protocol.ModelSpec{
		"classifier": {Family: "mlp", Dim: 16, Layers: 2, Inputs: 2, Outputs: 2, Loss: "cross-entropy"},
		"regressor":  {Family: "mlp", Dim: 16, Layers: 2, Inputs: 2, Outputs: 1, Loss: "squared-error"},
		"convnet":    {Family: "convnet", Dim: 16, Layers: 1, Height: 2, Width: 2, Channels: 1, Outputs: 2, Loss: "cross-entropy"},
	} {
		eng := engine(t, 1, bestPath())
		m := fresh(t, spec, eng, batch)
		first, err := m.Loss(xor(1000, spec))
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(600) {
			if _, err := m.Step(xor(i, spec)); err != nil {
				t.Fatal(err)
			}
			eng.FMA(m.Params(), -0.1, m.Grads())
		}
		if last, err := m.Loss(xor(1000, spec)); err != nil || last > first/2 {
			t.Errorf("%s: loss fell from %v to %v only, %v", name, first, last, err)
		}
	}
}

// Init: biases are 0, weights have the deviation that family.start says.
func TestExamplesInit(t *testing.T) {
	spec := wideExamples["wide mlp"]
	theta, err := Init(spec, [32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	params, _, err := Layout(spec)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range params {
		var squares float64
		for _, v := range theta[p.Offset:][:p.Len] {
			squares += float64(v) * float64(v)
		}
		want := 0.0
		switch p.Name {
		case "layers.0.weight":
			want = 2.0 / 530
		case "layers.1.weight":
			want = 2.0 / 40
		case "head.weight":
			want = 1.0 / 16 / 40
		}
		if got := squares / float64(p.Len); math.Abs(got-want) > 0.15*want {
			t.Errorf("%s has variance %g, want %g", p.Name, got, want)
		}
	}
}

func TestExamplesFiles(t *testing.T) {
	for name, spec := range exampleSpecs {
		theta, err := Init(spec, [32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := WriteSafetensors(&b, spec, theta, nil); err != nil {
			t.Fatal(err)
		}
		got, _, err := ReadSafetensors(&b, spec)
		if err != nil || digest(got) != digest(theta) {
			t.Errorf("%s: read back: %v", name, err)
		}
		var config map[string]any
		if err := json.Unmarshal(ConfigJSON(spec), &config); err != nil || config["model_type"] != "drystone-"+spec.Family {
			t.Errorf("%s: config %v, %v", name, config, err)
		}
	}
	conv, total, err := Layout(exampleSpecs["convnet"])
	if err != nil || conv[0].Name != "convs.0.weight" || !slices.Equal(conv[0].Shape, []int{3, 3, 3, 2}) || !slices.Equal(conv[4].Shape, []int{4, 3}) ||
		total != 3*9*2+3+3*9*3+3+4*3+4 {
		t.Errorf("layout %v of %d, %v", conv, total, err)
	}
}

func TestExamplesCallerFaults(t *testing.T) {
	classifier, regressor := exampleSpecs["classifier"], exampleSpecs["regressor"]
	m := fresh(t, classifier, engine(t, 1, "ref"), 2)
	change := func(f func(in *Inputs)) Inputs {
		in := examplesFor(1, classifier, 2)
		f(&in)
		return in
	}
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		in   Inputs
		want error
		text string
	}{
		"none":         {Inputs{}, ErrInputs, "0 features, want 10"},
		"few features": {change(func(in *Inputs) { in.Features = in.Features[1:] }), ErrInputs, "9 features, want 10"},
		"NaN":          {change(func(in *Inputs) { in.Features[3] = nan }), ErrInputs, "element 3 is NaN"},
		"few targets":  {change(func(in *Inputs) { in.Targets = in.Targets[1:] }), ErrTokens, "targets"},
		"target":       {change(func(in *Inputs) { in.Targets[1] = 3 }), ErrTokens, "targets"},
		"values":       {change(func(in *Inputs) { in.Values = []float32{1} }), ErrInputs, "1 values, want 0"},
		"tokens":       {change(func(in *Inputs) { in.Tokens = []int32{1} }), ErrTokens, "1 tokens, want 0"},
	} {
		if _, err := m.Step(c.in); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("Step, %s: %v", name, err)
		}
	}
	if _, err := m.Logits([]int32{1}); !errors.Is(err, ErrTokens) {
		t.Errorf("Logits: %v", err)
	}
	if _, err := m.Sample([]byte("a"), 1, 0, [32]byte{}); !errors.Is(err, ErrTokens) || !strings.Contains(err.Error(), "mlp writes no text") {
		t.Errorf("Sample: %v", err)
	}
	for _, x := range [][]float32{nil, make([]float32, 4), make([]float32, 15), {nan, 0, 0, 0, 0}} {
		if _, err := m.Outputs(x); !errors.Is(err, ErrInputs) {
			t.Errorf("Outputs(%v): %v", x, err)
		}
	}
	r := fresh(t, regressor, engine(t, 1, "ref"), 1)
	in := examplesFor(1, regressor, 1)
	in.Values[1] = float32(inf)
	if _, err := r.Step(in); !errors.Is(err, ErrInputs) || !strings.Contains(err.Error(), "values: element 1") {
		t.Errorf("infinite value: %v", err)
	}
	for name, change := range map[string]func(s *protocol.ModelSpec){
		"family":  func(s *protocol.ModelSpec) { s.Family = "tree" },
		"loss":    func(s *protocol.ModelSpec) { s.Loss = "" },
		"outputs": func(s *protocol.ModelSpec) { s.Outputs = 0 },
		"layers":  func(s *protocol.ModelSpec) { s.Layers = 100 },
		"size":    func(s *protocol.ModelSpec) { s.Layers, s.Dim = 64, 1<<16 },
		"heads":   func(s *protocol.ModelSpec) { s.Heads = 1 },
	} {
		s := classifier
		change(&s)
		if _, _, err := Layout(s); !errors.Is(err, ErrBadSpec) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(classifier, engine(t, 1, "ref"), 0, Options{}); err == nil {
		t.Error("a batch of nothing was accepted")
	}
}

package trainer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"drystone/internal/examples"
	"drystone/models"
	"drystone/protocol"
)

// Every family and kind of data has one trace root for any number of threads, which the golden file fixes, and its
// segments replay to the bit, from the opened state and from the public start.
func TestFamiliesReplay(t *testing.T) {
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(familySpecs)) {
		b := newBench(t, 2, familySpecs[name])
		a := b.assignment(1, 7)
		c := b.train(t, a, b.options(1))
		fmt.Fprintf(&text, "%s: genesis %v, trace %v, losses %v\n", name, Root(b.theta), c.Root(), c.Losses)
		other := newBench(t, 1, familySpecs[name])
		for seg, o := range checkStructure(t, b, c) {
			got, err := other.ReplayOpening(ctx, a, uint32(seg), b.theta, o)
			if err != nil || got != o.To || got != c.States[seg] {
				t.Errorf("%s: segment %d: %+v, want %+v (%v)", name, seg, got, o.To, err)
			}
			s, err := other.Replay(ctx, a, StartState(b.theta), got.Step)
			if err != nil || s.Trace() != o.To {
				t.Errorf("%s: prefix to segment %d: %+v, want %+v (%v)", name, seg, s.Trace(), o.To, err)
			}
		}
	}
	name := filepath.Join("testdata", "families.golden")
	if *update {
		if err := os.WriteFile(name, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("got\n%s want\n%s", text.String(), want)
	}
}

// Shares of a model, passes over a batch and recomputation, as docs/protocol.md has them, on the families on examples: the
// segments of one who trains some shards of a big batch in passes replay on a device that makes one pass of it.
func TestFamiliesTrainInParts(t *testing.T) {
	for _, name := range []string{"mlp classifier", "convnet", "mlp regressor"} {
		edit := func(micro int) func(s *protocol.RunSpec) {
			return func(s *protocol.RunSpec) {
				familySpecs[name](s)
				s.Model.Dim, s.Train.Batch, s.Train.MinShards = 96, 1024, 1
				if s.Model.Family == "convnet" {
					s.Model.Dim = 24
				}
				s.Train.MicroBatch, s.Train.Recompute = micro, micro > 0
			}
		}
		b, other := newBench(t, 2, edit(512)), newBench(t, 1, edit(0))
		b.run, other.run = protocol.Hash("one run"), protocol.Hash("one run") // the choice is part of the RunID
		b.Device.run, other.Device.run = b.run, b.run
		shards := []uint32{0, uint32(b.spec.Codec.Shards(b.Params()) - 1)}
		if b.spec.Codec.Shards(b.Params()) == 2 {
			shards = shards[:1]
		}
		a := b.partial(0, 4, shards...)
		c := b.train(t, a, b.options(0))
		if m := b.plan.model.Memory(); m.Grads >= 4*b.Params() {
			t.Errorf("%s: gradients of %d bytes for some shards of %d parameters", name, m.Grads, b.Params())
		}
		for seg, o := range checkStructure(t, b, c) {
			got, err := other.ReplayOpening(ctx, a, uint32(seg), b.theta, o)
			if err != nil || got != o.To {
				t.Errorf("%s: segment %d: %+v, want %+v (%v)", name, seg, got, o.To, err)
			}
		}
	}
}

// Training lowers the held-out loss of every family, and the score says so in its own terms.
func TestFamiliesLearn(t *testing.T) {
	for name, edit := range familySpecs {
		b := newBench(t, 1, func(s *protocol.RunSpec) {
			edit(s)
			s.Train.Steps, s.Train.Segment, s.Train.Rounds, s.Train.Warmup = 400, 400, 1, 10
		})
		before, err := b.Evaluate(ctx, b.theta, 100)
		if err != nil {
			t.Fatal(err)
		}
		s, err := b.Replay(ctx, b.assignment(0, 400), StartState(b.theta), 400)
		if err != nil {
			t.Fatal(err)
		}
		after, err := b.Evaluate(ctx, s.Theta, 100)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %v -> %v", name, before, after)
		good := after.Loss < 0.8*before.Loss
		switch after.Kind {
		case ScoreClasses:
			good = good && after.Accuracy > 0.3 && after.Accuracy > before.Accuracy
		case ScoreValues:
			good = good && after.R2 > 0.5 && after.RMSE < before.RMSE
		}
		if !good {
			t.Errorf("%s: %v -> %v", name, before, after)
		}
	}
}

// A peer that fetches the chunks of any kind of data has the dataset that the launcher has, and refuses other lengths.
func TestFamiliesLoad(t *testing.T) {
	for name, edit := range familySpecs {
		spec := testSpec(edit)
		if spec.Data.TokenBytes() > 1 {
			spec.Data.Tokens = 300_000 // more than a chunk
		}
		data := testData(t, spec)
		m := protocol.NewManifest(data)
		spec.Data.Manifest = protocol.MerkleRoot(m.Encode())
		chunks := map[protocol.Digest][]byte{}
		for at := 0; at < len(data); at += protocol.ChunkSize {
			chunk := data[at:min(at+protocol.ChunkSize, len(data))]
			chunks[protocol.MerkleRoot(chunk)] = chunk
		}
		fetch := func(_ context.Context, d protocol.Digest) ([]byte, error) { return chunks[d], nil }
		got, err := LoadDataset(ctx, spec.Data, &m, fetch)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := OpenDataset(spec.Data, data)
		if err != nil {
			t.Fatal(err)
		}
		a, b := models.NewInputs(spec.Model, 4), models.NewInputs(spec.Model, 4)
		got.Draw(protocol.Assignment{}, 3, spec.Model.Context, &a)
		want.Draw(protocol.Assignment{}, 3, spec.Model.Context, &b)
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: fetched data are drawn otherwise", name)
		}
		spec.Data.Tokens++
		if _, err := LoadDataset(ctx, spec.Data, &m, fetch); !errors.Is(err, ErrData) {
			t.Errorf("%s: one more than there are: %v", name, err)
		}
	}
}

// The scores against direct computation from the outputs, over a number of examples that no batch divides.
func TestScore(t *testing.T) {
	for _, name := range []string{"mlp classifier", "mlp regressor"} {
		b := newBench(t, 1, familySpecs[name])
		const n = 37
		got, err := b.Evaluate(ctx, b.theta, n)
		if err != nil {
			t.Fatal(err)
		}
		set, x := b.data.set, make([]float32, b.spec.Model.Features())
		var loss, right, errs, mean, deviation float64
		var targets []float64
		for i := range n {
			set.Read(1100+i, x)
			y, err := b.plan.model.Outputs(x)
			if err != nil {
				t.Fatal(err)
			}
			if set.Classes > 0 {
				best, sum := 0, 0.0
				for j, v := range y {
					sum += math.Exp(float64(v))
					if v > y[best] {
						best = j
					}
				}
				loss += (math.Log(sum) - float64(y[set.Class(1100+i)])) / n
				if int32(best) == set.Class(1100+i) {
					right += 1.0 / n
				}
				continue
			}
			target := make([]float32, 1)
			set.Targets(1100+i, target)
			loss += math.Pow(float64(y[0])-float64(target[0]), 2) / n
			errs += math.Pow(float64(y[0]-target[0])/float64(set.ValueScale[0]), 2)
			targets = append(targets, float64(target[0])/float64(set.ValueScale[0]))
			mean += targets[i] / n
		}
		for _, v := range targets {
			deviation += (v - mean) * (v - mean)
		}
		want := Score{Kind: ScoreClasses, Loss: loss, Accuracy: right}
		if set.Values > 0 {
			want = Score{Kind: ScoreValues, Loss: loss, RMSE: math.Sqrt(errs / n), R2: 1 - errs/deviation}
		}
		for _, d := range []float64{got.Loss - want.Loss, got.Accuracy - want.Accuracy, got.RMSE - want.RMSE, got.R2 - want.R2} {
			if math.Abs(d) > 1e-5 || got.Kind != want.Kind {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
		}
	}
}

// Examples are drawn by the rule of Draw from the training part alone, and every one of it comes up.
func TestDrawExamples(t *testing.T) {
	raw := &examples.Raw{Height: 1, Width: 1, Channels: 1, Count: 30, ValueCount: 1}
	for i := range 30 {
		raw.Features, raw.Values = append(raw.Features, float32(i)), append(raw.Values, float32(10*i))
	}
	d, err := OpenDataset(protocol.DataSpec{Kind: protocol.Examples, Tokens: 30, Holdout: 10}, encode(t, raw, 20))
	if err != nil {
		t.Fatal(err)
	}
	in := models.NewInputs(protocol.ModelSpec{Family: "mlp", Inputs: 1, Outputs: 1, Loss: "squared-error"}, 8)
	seen := map[float32]bool{}
	for step := range uint32(60) {
		a := protocol.Assignment{Run: protocol.Hash("run"), Round: 1}
		d.Draw(a, step, 0, &in)
		src := sequenceSource(a, step)
		for i, x := range in.Features {
			n := float32(uniform(src, 20))
			if x != float32(n-d.set.Mean[0])*d.set.Scale[0] || in.Values[i] != float32(10*n-d.set.ValueMean[0])*d.set.ValueScale[0] {
				t.Fatalf("step %d, row %d: %v -> %v, want example %v", step, i, x, in.Values[i], n)
			}
			seen[n] = true
		}
	}
	if len(seen) != 20 {
		t.Errorf("%d of 20 examples drawn", len(seen))
	}
}

// Data that a model cannot read is refused with the place, the shape and the key of the run spec.
func TestFamiliesRefuseData(t *testing.T) {
	u16 := func(tokens ...uint16) (b []byte) {
		for _, v := range tokens {
			b = binary.LittleEndian.AppendUint16(b, v)
		}
		return b
	}
	digits, friedman := encode(t, examples.Digits(20), 15), encode(t, examples.Friedman(20), 15)
	llama := testSpec(nil).Model
	llama.Context, llama.Vocab = 2, 300
	mlp := protocol.ModelSpec{Family: "mlp", Dim: 4, Layers: 1, Inputs: 144, Outputs: 10, Loss: "cross-entropy"}
	conv := protocol.ModelSpec{Family: "convnet", Dim: 4, Layers: 1, Height: 12, Width: 12, Channels: 1, Outputs: 10, Loss: "cross-entropy"}
	with := func(m protocol.ModelSpec, f func(m *protocol.ModelSpec)) protocol.ModelSpec { f(&m); return m }
	ex := protocol.DataSpec{Kind: protocol.Examples, Tokens: 20, Holdout: 5}
	for name, tt := range map[string]struct {
		spec  protocol.DataSpec
		data  []byte
		model protocol.ModelSpec
		texts []string
	}{
		"odd byte":         {protocol.DataSpec{Tokenizer: "u16le", Tokens: 2, Holdout: 1}, []byte{1, 2, 3, 4, 5}, llama, []string{"byte 4", "5 bytes", "u16le"}},
		"odd word":         {protocol.DataSpec{Tokenizer: "u32le", Tokens: 1, Holdout: 1}, []byte{1, 2, 3, 4, 5}, llama, []string{"byte 4", "u32le"}},
		"length":           {protocol.DataSpec{Tokenizer: "u16le", Tokens: 7, Holdout: 3}, u16(1, 2, 3, 4, 5, 6), llama, []string{"6 tokens", "says 7"}},
		"holdout":          {protocol.DataSpec{Tokenizer: "u16le", Tokens: 6, Holdout: 5}, u16(1, 2, 3, 4, 5, 6), llama, []string{"6 tokens with a holdout of 5"}},
		"too short":        {protocol.DataSpec{Tokenizer: "u16le", Tokens: 6, Holdout: 2}, u16(1, 2, 3, 4, 5, 6), llama, []string{"one sequence of 3 tokens", "tokens 0 to 4", "holdout to 6"}},
		"vocabulary":       {protocol.DataSpec{Tokenizer: "u16le", Tokens: 6, Holdout: 3}, u16(1, 2, 299, 300, 5, 6), llama, []string{"token 3 (byte 6) is 300", "vocabulary of 300", "model.vocab"}},
		"text for an mlp":  {protocol.DataSpec{Tokenizer: "bytes", Tokens: 6, Holdout: 3}, u16(1, 2, 3), mlp, []string{"bytes for a model of family mlp"}},
		"examples, llama":  {ex, digits, llama, []string{"examples for a model of family llama"}},
		"not examples":     {ex, []byte("drystone, but short"), mlp, []string{"19 bytes"}},
		"examples, number": {protocol.DataSpec{Kind: protocol.Examples, Tokens: 21, Holdout: 5}, digits, mlp, []string{"20 examples", "says 21"}},
		"examples, held":   {protocol.DataSpec{Kind: protocol.Examples, Tokens: 20, Holdout: 20}, digits, mlp, []string{"holdout of 20"}},
		"inputs":           {ex, digits, with(mlp, func(m *protocol.ModelSpec) { m.Inputs = 100 }), []string{"144 features", "12 x 12 x 1", "model.inputs"}},
		"image":            {ex, digits, with(conv, func(m *protocol.ModelSpec) { m.Height, m.Width = 9, 16 }), []string{"12 x 12 x 1", "9 x 16 x 1", "model.height"}},
		"table, convnet":   {ex, friedman, conv, []string{"10 features", "model.height"}},
		"classes":          {ex, digits, with(mlp, func(m *protocol.ModelSpec) { m.Outputs = 9 }), []string{"10 classes", "9 outputs", "model.outputs"}},
		"values":           {ex, friedman, with(mlp, func(m *protocol.ModelSpec) { m.Inputs = 10 }), []string{"0 classes and 1 values", "cross-entropy"}},
		"no kind":          {protocol.DataSpec{Tokens: 20, Holdout: 5}, digits, mlp, []string{"kind"}},
	} {
		d, err := OpenDataset(tt.spec, tt.data)
		if err == nil {
			err = d.Fits(&tt.model)
		}
		if !errors.Is(err, ErrData) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, text := range tt.texts {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %q does not say %q", name, err, text)
			}
		}
	}
	b := newBench(t, 1, familySpecs["convnet"])
	if _, err := b.Sample(ctx, b.theta, nil, 3, [32]byte{}); !errors.Is(err, ErrAssignment) || !strings.Contains(err.Error(), "examples") {
		t.Errorf("sample of a convnet: %v", err)
	}
	b = newBench(t, 1, familySpecs["u16le"])
	if _, err := b.Sample(ctx, b.theta, nil, 3, [32]byte{}); !errors.Is(err, ErrAssignment) || !strings.Contains(err.Error(), "tokens") {
		t.Errorf("sample of a token model: %v", err)
	}
	if !math.IsInf(b.data.Bigram(), 1) {
		t.Error("a byte bigram over tokens")
	}
}

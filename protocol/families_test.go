package protocol

import (
	"bytes"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// mlpSpec and convnetSpec return valid specs of the families on examples.
func mlpSpec() *RunSpec {
	s := testSpec()
	s.Model = ModelSpec{Family: "mlp", Dim: 32, Layers: 2, Inputs: 10, Outputs: 3, Loss: "cross-entropy"}
	s.Data = DataSpec{Manifest: s.Data.Manifest, Kind: Examples, Tokens: 1000, Holdout: 100}
	return s
}

func convnetSpec() *RunSpec {
	s := mlpSpec()
	s.Model = ModelSpec{Family: "convnet", Dim: 8, Layers: 2, Height: 12, Width: 9, Channels: 3, Outputs: 10, Loss: "cross-entropy"}
	return s
}

// Every rule on the families on examples, by the field that its message must name.
func TestValidateFamilies(t *testing.T) {
	type change func(s *RunSpec)
	both := []struct {
		field  string
		change change
	}{
		{"model.dim", func(s *RunSpec) { s.Model.Dim = 0 }},
		{"model.layers", func(s *RunSpec) { s.Model.Layers = 65 }},
		{"model.outputs", func(s *RunSpec) { s.Model.Outputs = 1 }},
		{"model.outputs", func(s *RunSpec) { s.Model.Outputs = MaxOutputs + 1 }},
		{"model.loss", func(s *RunSpec) { s.Model.Loss = "" }},
		{"model.heads", func(s *RunSpec) { s.Model.Heads = 1 }},
		{"model.kv_heads", func(s *RunSpec) { s.Model.KVHeads = 1 }},
		{"model.ffn", func(s *RunSpec) { s.Model.FFN = 1 }},
		{"model.vocab", func(s *RunSpec) { s.Model.Vocab = 256 }},
		{"model.context", func(s *RunSpec) { s.Model.Context = -1 }},
		{"model.norm_eps", func(s *RunSpec) { s.Model.NormEps = math.NaN() }},
		{"model.rope_theta", func(s *RunSpec) { s.Model.RopeTheta = 1 }},
		{"model.tied", func(s *RunSpec) { s.Model.Tied = true }},
		{"data.kind", func(s *RunSpec) { s.Data.Kind = "" }},
		{"data.tokenizer", func(s *RunSpec) { s.Data.Tokenizer = "bytes" }},
		{"data.holdout", func(s *RunSpec) { s.Data.Holdout = 0 }},
		{"data.tokens", func(s *RunSpec) { s.Data.Tokens = s.Data.Holdout }},
	}
	refuse := func(s *RunSpec, field string, change change) {
		t.Helper()
		change(s)
		if err := s.Validate(); !errors.Is(err, ErrBadSpec) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %s: %v", s.Model.Family, field, err)
		}
	}
	for _, tt := range both {
		refuse(mlpSpec(), tt.field, tt.change)
		refuse(convnetSpec(), tt.field, tt.change)
	}
	refuse(mlpSpec(), "model.inputs", func(s *RunSpec) { s.Model.Inputs = MaxFeatures + 1 })
	refuse(mlpSpec(), "model.height", func(s *RunSpec) { s.Model.Height = 4 })
	refuse(convnetSpec(), "model.inputs", func(s *RunSpec) { s.Model.Inputs = 4 })
	refuse(convnetSpec(), "model.width", func(s *RunSpec) { s.Model.Width = 0 })
	refuse(convnetSpec(), "model.channels", func(s *RunSpec) { s.Model.Channels = 0 })
	refuse(convnetSpec(), "model.height", func(s *RunSpec) { s.Model.Height, s.Model.Width = 1024, 1024 })
	refuse(convnetSpec(), "model.layers", func(s *RunSpec) { s.Model.Layers = 4 }) // 9 columns can be halved three times
	refuse(convnetSpec(), "model.loss", func(s *RunSpec) { s.Model.Loss = "squared-error" })
}

// Valid specs of the families come back from their encoding, and a llama's encoding has no key that it does not use.
func TestFamilySpecs(t *testing.T) {
	regressor, tokens := mlpSpec(), testSpec()
	regressor.Model.Loss, regressor.Model.Outputs = "squared-error", 1
	tokens.Data.Tokenizer, tokens.Model.Vocab = "u16le", 100
	for _, s := range []*RunSpec{mlpSpec(), convnetSpec(), regressor, tokens} {
		if err := s.Validate(); err != nil {
			t.Error(err)
			continue
		}
		data, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSpec(data, mustID(t, s))
		if err != nil || *got != *s {
			t.Errorf("%s through CBOR: %v, %+v", s.Model.Family, err, got)
		}
		var text bytes.Buffer
		if err := toml.NewEncoder(&text).Encode(s); err != nil {
			t.Fatal(err)
		}
		var fromText RunSpec
		if err := ParseTOML("run.toml", text.Bytes(), &fromText); err != nil || fromText != *s {
			t.Errorf("%s through TOML: %v, %+v", s.Model.Family, err, fromText)
		}
	}
	data, err := Encode(testSpec())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"inputs", "height", "width", "channels", "outputs", "loss", "kind"} {
		// "kind" is a key of verify as well, once.
		if n := bytes.Count(data, append([]byte{0x60 + byte(len(key))}, key...)); n > 1 || n == 1 && key != "kind" {
			t.Errorf("a llama's encoding has the key %q %d times", key, n)
		}
	}
}

// Hostile values in the specs of all families never make Validate panic, and what it lets through can be computed with.
func TestValidateHostileFamilies(t *testing.T) {
	for _, base := range []*RunSpec{mlpSpec(), convnetSpec()} {
		fields := []string{"model.dim", "model.layers", "model.inputs", "model.height", "model.width", "model.channels", "model.outputs", "model.context", "data.tokens", "data.holdout"}
		for i, a := range fields {
			for _, b := range fields[i:] {
				for _, x := range extremes(fieldsOf(base)[a]) {
					for _, y := range extremes(fieldsOf(base)[b]) {
						s := *base
						f := fieldsOf(&s)
						f[a].Set(x)
						f[b].Set(y)
						if s.Validate() == nil {
							useSpec(t, &s)
							if n := s.Model.Features(); n < 1 || n > MaxFeatures {
								t.Fatalf("%d features: %+v", n, s.Model)
							}
						}
					}
				}
			}
		}
	}
	if got := reflect.TypeFor[ModelSpec]().NumField(); got != 17 {
		t.Errorf("ModelSpec has %d fields: the lists of this file know 17", got)
	}
}

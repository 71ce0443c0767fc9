package node

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"drystone/protocol"
)

// Template is a run to start from, which trains out of the box.
type Template struct {
	Name string
	Data string // what it trains on without --data, and what --data may name
	Spec protocol.RunSpec
}

// Templates lists the templates, the default one first.
func Templates() []Template {
	return []Template{
		{"llama", "Newton's Opticks from the Go installation, byte by byte; --data names text files", DefaultSpec()},
		{"tokens", "the same text as tokens of 2 bytes: its 768 most frequent words, and bytes for the rest; --data names files of\n" +
			"# little-endian tokens (data.tokenizer u16le or u32le), each below model.vocab", tokensSpec()},
		{"mlp-classifier", "generated images of digits; --data names a CSV table (its last column, or --target, is the class) or IDX files of\n" +
			"# images and labels in turn; model.inputs is the number of features, model.outputs that of classes", classifierSpec()},
		{"mlp-regressor", "Friedman's function of ten features with noise; --data names a CSV table (its last column, or --target, is the\n" +
			"# value); model.inputs is the number of features", regressorSpec()},
		{"convnet", "generated images of digits; --data names IDX files of images and labels in turn; model.height, width and channels\n" +
			"# are the images', model.outputs is the number of classes", convnetSpec()},
	}
}

// tokensSpec is a Llama with shared key and value heads and a tied head on tokens of two bytes.
func tokensSpec() protocol.RunSpec {
	s := DefaultSpec()
	s.Name = "first-tokens"
	s.Model = protocol.ModelSpec{Family: "llama", Dim: 96, Layers: 2, Heads: 4, KVHeads: 2, FFN: 256, Vocab: 1024, Context: 64,
		NormEps: 1e-5, RopeTheta: 10000, Tied: true}
	s.Data.Tokenizer = "u16le"
	return s
}

// examplesSpec is what the templates on examples share: small models, whose updates go up as they are.
func examplesSpec(name string, m protocol.ModelSpec) protocol.RunSpec {
	s := DefaultSpec()
	s.Name, s.Model = name, m
	s.Data = protocol.DataSpec{Kind: protocol.Examples}
	s.Train.Rounds, s.Train.Batch = 40, 32
	s.Codec = protocol.CodecSpec{Up: "dense", ShardParams: 65536}
	s.Payout.PerMillion = 100_000
	return s
}

func classifierSpec() protocol.RunSpec {
	return examplesSpec("first-classifier", protocol.ModelSpec{Family: "mlp", Dim: 128, Layers: 2, Inputs: 144, Outputs: 10, Loss: "cross-entropy"})
}

func regressorSpec() protocol.RunSpec {
	return examplesSpec("first-regressor", protocol.ModelSpec{Family: "mlp", Dim: 64, Layers: 2, Inputs: 10, Outputs: 1, Loss: "squared-error"})
}

func convnetSpec() protocol.RunSpec {
	return examplesSpec("first-convnet", protocol.ModelSpec{Family: "convnet", Dim: 16, Layers: 2, Height: 12, Width: 12, Channels: 1,
		Outputs: 10, Loss: "cross-entropy"})
}

// SpecTemplate is a run.toml with every key that the template uses, at its default; docs/protocol.md has the optional ones. The empty name stands for the
// default template.
func SpecTemplate(name string) (string, error) {
	var names []string
	for _, t := range Templates() {
		if t.Name == name || name == "" {
			return fmt.Sprintf(specHeader, t.Data) + encodeTOML(&t.Spec), nil
		}
		names = append(names, t.Name)
	}
	return "", fmt.Errorf("no template %q; there are %s", name, strings.Join(names, ", "))
}

// ParseSpec reads a run.toml. Keys left out keep the values of the template with its family and, if there is one, its loss
// and kind of tokens; but a rule that is not the template's comes with its own settings alone. name is used in messages.
func ParseSpec(name string, text []byte) (protocol.RunSpec, error) {
	var given protocol.RunSpec
	if err := protocol.ParseTOML(name, text, &given); err != nil {
		return given, err
	}
	spec, best := DefaultSpec(), 0
	for _, t := range Templates() {
		like := 0
		if t.Spec.Model.Family == given.Model.Family {
			like++
			if t.Spec.Model.Loss == given.Model.Loss && (t.Spec.Data.TokenBytes() > 1) == (given.Data.TokenBytes() > 1) {
				like++
			}
		}
		if like > best {
			spec, best = t.Spec, like
		}
	}
	if a := &spec.Aggregate; given.Aggregate.Rule != "" && given.Aggregate.Rule != a.Rule {
		*a = protocol.AggregateSpec{MinPeers: a.MinPeers} // the settings of one rule are none of another's
	}
	err := protocol.ParseTOML(name, text, &spec)
	return spec, err
}

const specHeader = `# A run spec. Keys left out keep the values below; docs/protocol.md explains each key. founder and data are filled in
# by "drystone launch" from the key and --data. Without --data this run trains on
# %s.
# On slow home lines add, under [codec], up = "rice", top_k = 64, shard_params = 2097152, down = "rice", down_top_k = 320,
# down_value_bits = 2, down_decay = 1.0: 200 times fewer bytes than dense float32 up, 50 times down, a higher loss in short runs.
# For machines that sleep now and then add "grace = true" under [verify]: the first absence costs its rounds' pay only.

`

// encodeTOML renders a spec without the keys that launch fills in and those that its family does not use.
func encodeTOML(s *protocol.RunSpec) string {
	var b bytes.Buffer
	e := toml.NewEncoder(&b)
	e.Indent = ""
	if err := e.Encode(s); err != nil {
		return "" // only for types that a RunSpec does not have
	}
	filled := []string{"founder", "manifest", "tokens", "holdout"}
	if s.Model.OnExamples() {
		filled = append(filled, "heads", "kv_heads", "ffn", "vocab", "context", "norm_eps", "rope_theta", "tied", "tokenizer")
	}
	var kept []string
	for line := range strings.Lines(b.String()) {
		key, _, _ := strings.Cut(line, " ")
		if !slices.Contains(filled, key) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

package models

import (
	"errors"
	"fmt"

	"drystone/protocol"

	G "gorgonia.org/gorgonia"
)

// ErrInputs is wrapped when features or values have the wrong count or are not finite.
var ErrInputs = errors.New("models: bad inputs")

// Inputs is one batch: what a model reads and what it should answer. A family on sequences of tokens has Tokens and
// Targets, a family on examples has Features, and Targets or Values, as its loss says. The rest is nil.
type Inputs struct {
	Tokens   []int32   // (batch, Context), below Vocab
	Features []float32 // (batch, Features)
	Targets  []int32   // (batch, Context) next tokens, below Vocab; or (batch) classes, below Outputs
	Values   []float32 // (batch, Outputs)
}

// NewInputs returns an empty batch for spec.
func NewInputs(spec protocol.ModelSpec, batch int) Inputs {
	return newInputs(spec, batch, func(n int) []float32 { return make([]float32, n) }, func(n int) []int32 { return make([]int32, n) })
}

// newInputs returns an empty batch in memory that floats and ints give.
func newInputs(spec protocol.ModelSpec, batch int, floats func(int) []float32, ints func(int) []int32) Inputs {
	var in Inputs
	switch {
	case !spec.OnExamples():
		in.Tokens, in.Targets = ints(batch*spec.Context), ints(batch*spec.Context)
	case spec.Loss == "squared-error":
		in.Features, in.Values = floats(batch*spec.Features()), floats(batch*spec.Outputs)
	default:
		in.Features, in.Targets = floats(batch*spec.Features()), ints(batch)
	}
	return in
}

// bind gives the input nodes of g this memory.
func (in Inputs) bind(g *graph) map[*G.Node]any {
	fixed := make(map[*G.Node]any)
	if g.tokens != nil {
		fixed[g.tokens] = in.Tokens
	}
	if g.targets != nil {
		fixed[g.targets] = in.Targets
	}
	if g.features != nil {
		fixed[g.features] = in.Features
	}
	if g.values != nil {
		fixed[g.values] = in.Values
	}
	return fixed
}

// check checks a batch of passes times the size of in.
func (in Inputs) check(batch Inputs, passes int, spec *protocol.ModelSpec) error {
	classes := spec.Vocab
	if spec.OnExamples() {
		classes = spec.Outputs
	}
	if err := checkIDs(batch.Tokens, len(in.Tokens)*passes, spec.Vocab); err != nil {
		return err
	}
	if err := checkFloats("features", batch.Features, len(in.Features)*passes); err != nil {
		return err
	}
	if err := checkIDs(batch.Targets, len(in.Targets)*passes, classes); err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	return checkFloats("values", batch.Values, len(in.Values)*passes)
}

// fill copies pass i of a batch.
func (in Inputs) fill(batch Inputs, i int) {
	copy(in.Tokens, batch.Tokens[i*len(in.Tokens):])
	copy(in.Features, batch.Features[i*len(in.Features):])
	copy(in.Targets, batch.Targets[i*len(in.Targets):])
	copy(in.Values, batch.Values[i*len(in.Values):])
}

// checkIDs checks that ids are want tokens of the vocabulary.
func checkIDs(ids []int32, want, vocab int) error {
	if len(ids) != want {
		return fmt.Errorf("%w: %d tokens, want %d", ErrTokens, len(ids), want)
	}
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("%w: token %d at %d is outside the vocabulary of %d", ErrTokens, id, i, vocab)
		}
	}
	return nil
}

// checkFloats checks that x is want finite values.
func checkFloats(what string, x []float32, want int) error {
	if len(x) != want {
		return fmt.Errorf("%w: %d %s, want %d", ErrInputs, len(x), what, want)
	}
	for i, v := range x {
		if !finite(v) {
			return fmt.Errorf("%w: %s: element %d is %v", ErrInputs, what, i, v)
		}
	}
	return nil
}

// Outputs returns the logits or predicted values (n, Outputs) of n = len(features) / Features examples, at most a pass of
// Options.MicroBatch. The result is valid until the next call. The first call plans it and allocates, later ones do not.
func (m *Model) Outputs(features []float32) ([]float32, error) {
	width := m.spec.Features()
	if !m.spec.OnExamples() || len(features) == 0 || len(features)%width != 0 || len(features) > m.opts.MicroBatch*width {
		return nil, fmt.Errorf("%w: %d features for family %s: want 1 to %d examples of %d", ErrInputs, len(features), m.spec.Family, m.opts.MicroBatch, width)
	}
	if m.single == nil {
		p, err := m.program(m.opts.MicroBatch, forLogits)
		if err != nil {
			return nil, err
		}
		m.single = p
	}
	if err := checkFloats("features", features, len(features)); err != nil {
		return nil, err
	}
	if err := m.eng.Wait(); err != nil {
		return nil, err
	}
	copy(m.single.in.Features, features)
	clear(m.single.in.Features[len(features):]) // rows do not see one another
	if err := m.single.machine.finish(); err != nil {
		return nil, err
	}
	return m.single.logits[:len(features)/width*m.spec.Outputs], nil
}

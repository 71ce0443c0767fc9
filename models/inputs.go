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
	var in Inputs
	switch {
	case !spec.OnExamples():
		in.Tokens, in.Targets = make([]int32, batch*spec.Context), make([]int32, batch*spec.Context)
	case spec.Loss == "squared-error":
		in.Features, in.Values = make([]float32, batch*spec.Features()), make([]float32, batch*spec.Outputs)
	default:
		in.Features, in.Targets = make([]float32, batch*spec.Features()), make([]int32, batch)
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

// fill copies what a model reads and should answer from src, after checking it.
func (in Inputs) fill(src Inputs, spec *protocol.ModelSpec) error {
	classes := spec.Vocab
	if spec.OnExamples() {
		classes = spec.Outputs
	}
	if err := fill(in.Tokens, src.Tokens, spec.Vocab); err != nil {
		return err
	}
	if err := fillFloats("features", in.Features, src.Features); err != nil {
		return err
	}
	if err := fill(in.Targets, src.Targets, classes); err != nil {
		return fmt.Errorf("targets: %w", err)
	}
	return fillFloats("values", in.Values, src.Values)
}

// fill copies ids to dst after checking them.
func fill(dst, ids []int32, vocab int) error {
	if len(ids) != len(dst) {
		return fmt.Errorf("%w: %d tokens, want %d", ErrTokens, len(ids), len(dst))
	}
	for i, id := range ids {
		if id < 0 || int(id) >= vocab {
			return fmt.Errorf("%w: token %d at %d is outside the vocabulary of %d", ErrTokens, id, i, vocab)
		}
	}
	copy(dst, ids)
	return nil
}

// fillFloats copies x to dst after checking it.
func fillFloats(what string, dst, x []float32) error {
	if len(x) != len(dst) {
		return fmt.Errorf("%w: %d %s, want %d", ErrInputs, len(x), what, len(dst))
	}
	for i, v := range x {
		if !finite(v) {
			return fmt.Errorf("%w: %s: element %d is %v", ErrInputs, what, i, v)
		}
	}
	copy(dst, x)
	return nil
}

// Outputs returns the logits or predicted values (n, Outputs) of up to batch examples, n = len(features) / Features. The
// result is valid until the next call. The first call plans it and allocates, later ones do not.
func (m *Model) Outputs(features []float32) ([]float32, error) {
	width := m.spec.Features()
	if !m.spec.OnExamples() || len(features) == 0 || len(features)%width != 0 || len(features) > m.batch*width {
		return nil, fmt.Errorf("%w: %d features for family %s: want 1 to %d examples of %d", ErrInputs, len(features), m.spec.Family, m.batch, width)
	}
	if m.single == nil {
		p, err := m.program(m.batch, forLogits)
		if err != nil {
			return nil, err
		}
		m.single = p
	}
	if err := fillFloats("features", m.single.in.Features[:len(features)], features); err != nil {
		return nil, err
	}
	clear(m.single.in.Features[len(features):]) // rows do not see one another
	if err := m.single.machine.RunAll(); err != nil {
		return nil, err
	}
	return m.single.logits[:len(features)/width*m.spec.Outputs], nil
}

package models

import (
	"fmt"

	"drystone/protocol"

	G "gorgonia.org/gorgonia"
)

// family is what tells one kind of model from another. The rest of the package is the same for all of them: the flat
// theta, the graph's differentiation, the machine and its memory, the files.
type family interface {
	// validate checks what the other methods rely on. The error wraps ErrBadSpec.
	validate(s protocol.ModelSpec) error
	// layout adds the parameters in their fixed order.
	layout(s protocol.ModelSpec, add func(name string, shape ...int))
	// start returns how a parameter is drawn: with standard deviation std if that is above 0, else all of it is fill.
	start(s protocol.ModelSpec, p Param) (std, fill float64)
	// activations estimates, from above, the elements of memory that a step plans for passes of batch sequences or
	// examples.
	activations(s protocol.ModelSpec, batch int, recompute bool) int
	// assemble adds the nodes from the inputs to the logits, or unless p is forLogits to the loss.
	assemble(b *builder, e env, s protocol.ModelSpec, batch int, p purpose, table ropeTable)
	// tables returns what all graphs of a model share, if the family has such.
	tables(s protocol.ModelSpec) ropeTable
	// config returns what config.json says of the model.
	config(s protocol.ModelSpec) any
}

// familyOf returns the family that spec names.
func familyOf(spec protocol.ModelSpec) (family, error) {
	switch spec.Family {
	case "llama":
		return llama{}, nil
	case "mlp":
		return mlp{}, nil
	case "convnet":
		return convnet{}, nil
	}
	return nil, fmt.Errorf("%w: family %q: want llama, mlp or convnet", ErrBadSpec, spec.Family)
}

// weightNodes hands out the parameter nodes in the order of Layout.
func (b *builder) weightNodes() func() *G.Node {
	next := b.weights
	return func() *G.Node { n := next[0].node; next = next[1:]; return n }
}

// onExamples is what the families on labelled examples share.
type onExamples struct{}

func (onExamples) validate(s protocol.ModelSpec) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrBadSpec, err)
	}
	return nil
}

func (onExamples) tables(protocol.ModelSpec) ropeTable { return ropeTable{} }

// features adds the input node (batch, Features).
func (onExamples) features(b *builder, e env, s protocol.ModelSpec, batch int) *G.Node {
	b.features = matrix(batch, s.Features()).node(b.ExprGraph, e.label("features"))
	return b.features
}

// finish ends the graph in the logits (batch, Outputs), or in the loss of these that the spec names, with the node of what
// they should be.
func (onExamples) finish(b *builder, e env, s protocol.ModelSpec, batch int, p purpose, logits *G.Node) {
	switch {
	case p == forLogits:
		b.logits = logits
	case s.Loss == "squared-error":
		b.values = matrix(batch, s.Outputs).node(b.ExprGraph, e.label("values"))
		b.loss = b.apply(e.squaredError("loss", batch, s.Outputs), logits, b.values)
	default:
		b.targets = tokens(batch).node(b.ExprGraph, e.label("targets"))
		b.loss = b.apply(e.crossEntropy("loss", batch, s.Outputs), logits, b.targets)
	}
}

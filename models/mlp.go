package models

import (
	"fmt"
	"math"
	"strings"

	"drystone/protocol"
)

// mlp is a multilayer perceptron, a classifier or a regressor by its loss:
//
//	[features] (B, Inputs) -> affine -> gelu -> ... -> affine -> gelu -> affine -> logits (B, Outputs)
//	                          \-------------- Layers times --------------/
//	logits -> crossentropy [targets], or squarederror [values] -> mean loss
//
// where affine is x Wᵀ + bias. Its parameters are those of a torch.nn.Sequential of Linear and GELU(approximate="tanh"):
//
//	layers.{i}.weight, layers.{i}.bias    (Dim, Inputs) or (Dim, Dim); (Dim)
//	head.weight, head.bias                (Outputs, Dim); (Outputs)
type mlp struct{ onExamples }

func (mlp) layout(s protocol.ModelSpec, add func(name string, shape ...int)) {
	in := s.Inputs
	for i := range s.Layers {
		add(fmt.Sprintf("layers.%d.weight", i), s.Dim, in)
		add(fmt.Sprintf("layers.%d.bias", i), s.Dim)
		in = s.Dim
	}
	add("head.weight", s.Outputs, in)
	add("head.bias", s.Outputs)
}

func (mlp) start(_ protocol.ModelSpec, p Param) (std, fill float64) { return startAffine(p) }

// startAffine gives biases 0, hidden weights the deviation sqrt(2 / fan-in) (He et al. 2015) and those of the head
// sqrt(1 / fan-in) / 4, so that all classes start about even.
func startAffine(p Param) (std, fill float64) {
	if len(p.Shape) == 1 {
		return 0, 0
	}
	gain := 2.0
	if strings.HasPrefix(p.Name, "head.") {
		gain = 1.0 / 16
	}
	return math.Sqrt(gain / float64(p.Len/p.Shape[0])), 0
}

func (mlp) activations(s protocol.ModelSpec, batch int, recompute bool) int {
	kept := 2 * s.Layers * s.Dim
	if recompute {
		kept = (s.Layers + 1) * s.Dim
	}
	return batch * (kept + 3*max(s.Dim, s.Inputs) + 2*s.Outputs)
}

func (f mlp) assemble(b *builder, e env, s protocol.ModelSpec, batch int, p purpose, _ ropeTable) {
	w := b.weightNodes()
	x, in := f.features(b, e, s, batch), s.Inputs
	for i := range s.Layers {
		b.segment, b.layers = i+1, s.Layers
		y := b.apply(e.affine(fmt.Sprint(i), batch, in, s.Dim), x, w(), w())
		x, in = b.apply(e.gelu(fmt.Sprint(i), batch, s.Dim), y), s.Dim
	}
	b.segment = 0
	f.finish(b, e, s, batch, p, b.apply(e.affine("head", batch, in, s.Outputs), x, w(), w()))
}

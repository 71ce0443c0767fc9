package models

import (
	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// env is what the operations of one graph share: the engine that computes, and a salt for hashes (see build).
type env struct {
	*exact.Engine
	salt int
}

// op returns the frame of an op without operands.
func (e env) op(kind, name string, attrs ...any) *op {
	return &op{kind: kind, name: name, attrs: append(attrs, e.salt), overwrites: -1}
}

// leftover returns what an earlier op left in memory as a by-product. Its operand, of type after, is an output of that op
// and only puts this one behind it. The result stays where it is unless it is planned elsewhere.
func (e env) leftover(kind, name string, after, out arg, memory []float32) *op {
	o := e.op(kind, name)
	o.args, o.out, o.memory = []arg{after}, out, memory
	o.run = func(out []float32, _ []G.Value) {
		if &out[0] != &memory[0] {
			copy(out, memory)
		}
	}
	return o
}

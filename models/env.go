package models

import (
	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// env is what the operations of one graph share: the device that computes, a salt for hashes (see build), and the passes
// in which a batch is computed.
type env struct {
	exact.Kernels
	salt int
	run  *passes // nil: there is one
}

// passes counts the passes over the micro-batches of a step. Sums over rows go on from pass to pass.
type passes struct {
	at, of int
	kept   int // elements of memory that operations keep for themselves
}

// first and last report where in the batch the running pass is.
func (p *passes) first() bool { return p == nil || p.at == 0 }
func (p *passes) last() bool  { return p == nil || p.at == p.of-1 }

// count returns the number of passes, and index which one is running.
func (p *passes) count() int {
	if p == nil {
		return 1
	}
	return p.of
}

func (p *passes) index() int {
	if p == nil {
		return 0
	}
	return p.at
}

// keep returns memory that an operation keeps from step to step.
func (e env) keep(n int) []float32 {
	if e.run != nil {
		e.run.kept += n
	}
	return e.Floats(n)
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
	o.part = func(out []float32, _ []G.Value, rows Range) {
		if from := memory[rows.Lo*o.out.width():]; &out[0] != &from[0] {
			e.Copy(out, from[:len(out)])
		}
	}
	o.run = func(out []float32, in []G.Value) { o.part(out, in, Range{0, o.out.shape.TotalSize() / o.out.width()}) }
	return o
}

// Package accuracy measures how far kernels are from float64 on fixed inputs of
// the sizes that models have. The inputs are plain float32 tensors, so that any
// other library can be given the same ones and be held against the same values.
package accuracy

import (
	"math/rand/v2"

	"drystone/internal/exact"
	"drystone/internal/exact/f64"
)

// Tensor is a named, row-major operand.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Case is one kernel, forward and backward where it has both: a backward kernel
// is given dy, the gradient of the output y. All fields are read-only.
type Case struct {
	Kernel  string
	Attrs   map[string]float64 // settings that are not tensors
	Inputs  []Tensor
	Indices []int32  // targets or ids, where the kernel takes some
	Outputs []string // names of what Run and Want return
	Run     func(e *exact.Engine) [][]float32
	Want    func() [][]float64
}

// Result is the error of one output of a kernel.
type Result struct {
	Kernel, Output string
	f64.Error
}

// Measure runs the kernel on e and compares its outputs with float64.
func (c Case) Measure(e *exact.Engine) []Result { return c.Compare(c.Run(e)) }

// Compare returns the errors of outputs, in the order of c.Outputs.
func (c Case) Compare(outputs [][]float32) []Result {
	results := make([]Result, len(outputs))
	for i, want := range c.Want() {
		results[i] = Result{c.Kernel, c.Outputs[i], f64.Compare(outputs[i], want)}
	}
	return results
}

// Cases returns all cases, the same in every call.
func Cases() []Case {
	return []Case{
		gemm(), sums(), rmsNorm(), layerNorm(), bias(), swiGLU(), gelu(), relu(), rope(), attention(), crossEntropy(),
		squaredError(), scatterAdd(), adamW(), conv(), maxPool(), avgPool(),
	}
}

// source draws the inputs of one case.
type source struct{ rng *rand.Rand }

func newSource(seed uint64) source { return source{rand.New(rand.NewPCG(seed, 64))} }

// normal returns a tensor of normal numbers times scale.
func (s source) normal(name string, scale float64, shape ...int) Tensor {
	t := Tensor{name, shape, zeros(shape...)}
	for i := range t.Data {
		t.Data[i] = float32(s.rng.NormFloat64() * scale)
	}
	return t
}

// ints returns n numbers in [0,below).
func (s source) ints(n, below int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(s.rng.IntN(below))
	}
	return x
}

func zeros(shape ...int) []float32 {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return make([]float32, n)
}

// wide returns the tensor in float64.
func (t Tensor) wide() []float64 { return f64.Of(t.Data) }

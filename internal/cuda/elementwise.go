package cuda

import (
	"unsafe"

	"drystone/internal/exact"
)

// Copy implements exact.Kernels.
func (c *Card) Copy(dst, src []float32) {
	need("Copy", "src", len(src), len(dst))
	if len(dst) == 0 || &dst[0] == &src[0] {
		return
	}
	to, from := c.argument("Copy", 0, dst), c.argument("Copy", 1, src[:len(dst)])
	if c.err == nil {
		c.failed(c.d.Copy(uintptr(to), uintptr(from), int(unsafe.Sizeof(dst[0]))*len(dst)), "copy")
	}
}

// Add implements exact.Kernels.
func (c *Card) Add(y, a, b []float32) {
	need("Add", "a", len(a), len(y))
	need("Add", "b", len(b), len(y))
	c.each("add", len(y), y, a[:len(y)], b[:len(y)], len(y))
}

// Sub implements exact.Kernels.
func (c *Card) Sub(y, a, b []float32) {
	need("Sub", "a", len(a), len(y))
	need("Sub", "b", len(b), len(y))
	c.each("subtract", len(y), y, a[:len(y)], b[:len(y)], len(y))
}

// Scale implements exact.Kernels.
func (c *Card) Scale(y, x []float32, s float32) {
	need("Scale", "x", len(x), len(y))
	c.each("scale", len(y), y, x[:len(y)], len(y), s)
}

// FMA implements exact.Kernels.
func (c *Card) FMA(y []float32, s float32, x []float32) {
	need("FMA", "x", len(x), len(y))
	c.each("scaled_add", len(y), y, x[:len(y)], len(y), s)
}

// ReLU implements exact.Kernels.
func (c *Card) ReLU(y, x []float32) { c.unary("relu", "ReLU", y, x) }

// GELU implements exact.Kernels.
func (c *Card) GELU(y, x []float32) { c.unary("gelu_forward", "GELU", y, x) }

func (c *Card) unary(kernel, name string, y, x []float32) {
	need(name, "x", len(x), len(y))
	c.each(kernel, len(y), y, x[:len(y)], len(y))
}

// ReLUBackward implements exact.Kernels.
func (c *Card) ReLUBackward(dx, dy, x []float32) { c.slope("relu_back", "ReLUBackward", dx, dy, x) }

// GELUBackward implements exact.Kernels.
func (c *Card) GELUBackward(dx, dy, x []float32) { c.slope("gelu_back", "GELUBackward", dx, dy, x) }

func (c *Card) slope(kernel, name string, dx, dy, x []float32) {
	need(name, "dy", len(dy), len(dx))
	need(name, "x", len(x), len(dx))
	c.each(kernel, len(dx), dx, dy[:len(dx)], x[:len(dx)], len(dx))
}

// SwiGLU implements exact.Kernels.
func (c *Card) SwiGLU(y, gate, up []float32) {
	n := len(y)
	need("SwiGLU", "gate", len(gate), n)
	need("SwiGLU", "up", len(up), n)
	c.each("swiglu", n, y, gate[:n], up[:n], n)
}

// SwiGLUBackward implements exact.Kernels.
func (c *Card) SwiGLUBackward(dgate, dup, dy, gate, up []float32) {
	const kernel = "SwiGLUBackward"
	n := len(dy)
	for _, x := range []struct {
		name string
		x    []float32
	}{{"dgate", dgate}, {"dup", dup}, {"gate", gate}, {"up", up}} {
		need(kernel, x.name, len(x.x), n)
	}
	c.each("swiglu_back", n, dgate[:n], dup[:n], dy, gate[:n], up[:n], n)
}

// AddBias implements exact.Kernels.
func (c *Card) AddBias(y, x, bias []float32, rows, dim int) {
	const kernel = "AddBias"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "y", len(y), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "bias", len(bias), dim)
	c.each("add_bias", rows*dim, y, x, bias, rows*dim, dim)
}

// AdamWStep implements exact.Kernels.
func (c *Card) AdamWStep(p, g, m, v []float32, h exact.AdamWParams) {
	const kernel = "AdamWStep"
	n := len(p)
	need(kernel, "g", len(g), n)
	need(kernel, "m", len(m), n)
	need(kernel, "v", len(v), n)
	require(h.Step >= 1, kernel, "step is less than 1")
	s := h.Scalars()
	c.each("adamw", n, p, g[:n], m[:n], v[:n], n, s.Beta1, s.Rest1, s.Beta2, s.Rest2, s.Corr1, s.Corr2, s.Eps, s.Decay, s.LR)
}

// Rope implements exact.Kernels.
func (c *Card) Rope(y, x, cos, sin []float32, batch, seq, heads, headDim int, inverse bool) {
	const kernel = "Rope"
	require(batch >= 0 && seq >= 0 && heads >= 0 && headDim >= 0 && headDim%2 == 0, kernel, "bad dimension")
	size := batch * seq * heads * headDim
	need(kernel, "y", len(y), size)
	need(kernel, "x", len(x), size)
	need(kernel, "cos", len(cos), seq*headDim/2)
	need(kernel, "sin", len(sin), seq*headDim/2)
	c.each("rope", size/2, y, x, cos, sin, size/2, seq, heads, headDim/2, inverse)
}

package models

import (
	"math"
	"math/rand/v2"
	"testing"

	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// TestOps checks the output and every gradient of every operation against float64 and its central differences.
func TestOps(t *testing.T) {
	h := heads{batch: 2, seq: 5, query: 4, kv: 2, hd: 6}
	cos, sin := exact.RopeTable(h.seq, h.hd, 50)
	ids := []int32{3, 0, 3, 1, 3, 0}
	conv := exact.ConvShape{Batch: 2, Height: 4, Width: 3, Channels: 2, KernelH: 3, KernelW: 3, Stride: 1, Pad: 1}
	pool := exact.ConvShape{Batch: 2, Height: 5, Width: 4, Channels: 3, KernelH: 2, KernelW: 2, Stride: 2}
	tests := map[string]struct {
		op  func(e env) *op
		ids []int32 // the token operand, if there is one
		ref func(in [][]float64) []float64
	}{
		"linear": {
			op:  func(e env) *op { return e.linear("x", 7, 5, 3) },
			ref: func(in [][]float64) []float64 { return refLinear(in[0], in[1], 7, 5, []int{3}) },
		},
		"linear/packed": {
			op:  func(e env) *op { return e.linear("x", 7, 5, 3, 1, 2) },
			ref: func(in [][]float64) []float64 { return refLinear(in[0], in[1], 7, 5, []int{3, 1, 2}) },
		},
		"residual": {
			op: func(e env) *op { return e.residual("x", 7, 5, 3) },
			ref: func(in [][]float64) []float64 {
				y := refLinear(in[1], in[2], 7, 5, []int{3})
				for i := range y {
					y[i] += in[0][i]
				}
				return y
			},
		},
		"rmsnorm": {
			op:  func(e env) *op { return e.rmsnorm("x", 6, 18, 1e-2) },
			ref: func(in [][]float64) []float64 { return refNorm(in[0], in[1], 6, 18, 1e-2) },
		},
		"rope": {
			op:  func(e env) *op { return e.rope("x", h, ropeTable{cos, sin}, false) },
			ref: func(in [][]float64) []float64 { return refRope(in[0], h, 50) },
		},
		"attention": {
			op:  func(e env) *op { return e.attention("x", h) },
			ref: func(in [][]float64) []float64 { return refAttention(in[0], h) },
		},
		"affine": {
			op:  func(e env) *op { return e.affine("x", 7, 5, 3) },
			ref: func(in [][]float64) []float64 { return refAffine(in[0], in[1], in[2]) },
		},
		"gelu": {
			op:  func(e env) *op { return e.gelu("x", 4, 9) },
			ref: func(in [][]float64) []float64 { return refEach(in[0], refGELU) },
		},
		"relu": {
			op:  func(e env) *op { return e.relu("x", 4, 9) },
			ref: func(in [][]float64) []float64 { return refEach(in[0], refReLU) },
		},
		"im2col": {
			op:  func(e env) *op { return e.im2col("x", conv) },
			ref: func(in [][]float64) []float64 { return refWindows(in[0], conv) },
		},
		"maxpool": {
			op:  func(e env) *op { return e.maxPool("x", pool) },
			ref: func(in [][]float64) []float64 { return refPool(in[0], pool) },
		},
		"swiglu": {
			op:  func(e env) *op { return e.swiglu("x", 4, 9) },
			ref: func(in [][]float64) []float64 { return refSwiGLU(in[0]) },
		},
		"embed": {
			op: func(e env) *op { return e.embed("x", len(ids), 4, 3) }, ids: ids,
			ref: func(in [][]float64) []float64 { return refEmbed(in[0], ids, 3) },
		},
		"crossentropy": {
			op: func(e env) *op { return e.crossEntropy("x", len(ids), 4) }, ids: ids,
			ref: func(in [][]float64) []float64 { return []float64{refCrossEntropy(in[0], ids, 4)} },
		},
	}
	for name, tc := range tests {
		for _, path := range exact.Paths() {
			t.Run(name+"/"+path, func(t *testing.T) {
				e := env{Kernels: engine(t, 2, path)}
				checkOp(t, e, tc.op(e), tc.ids, tc.ref)
			})
		}
	}
}

// checkOp runs o between inputs and a weighted sum of its outputs.
func checkOp(t *testing.T, e env, o *op, ids []int32, ref func([][]float64) []float64) {
	r := rand.New(rand.NewPCG(3, 4))
	normal := func(n int) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(r.NormFloat64())
		}
		return x
	}
	g := &graph{ExprGraph: G.NewGraph()}
	fixed := make(map[*G.Node]any)
	var nodes, wrt G.Nodes
	var in [][]float32
	for i, a := range o.args {
		n := a.node(g.ExprGraph, string(rune('a'+i)))
		nodes = append(nodes, n)
		if !o.wrt[i] {
			fixed[n] = ids
			continue
		}
		in, wrt = append(in, normal(a.shape.TotalSize())), append(wrt, n)
		fixed[n] = in[len(in)-1]
	}
	y, err := apply(o, nodes...)
	if err != nil {
		t.Fatal(err)
	}
	c, loss := []float32{1}, y
	out := make([]float32, o.out.shape.TotalSize())
	fixed[y] = out
	if len(o.out.shape) > 0 {
		c = normal(len(out))
		if loss, err = apply(weightedSum(e, o.out, c), y); err != nil {
			t.Fatal(err)
		}
		fixed[loss] = make([]float32, 1)
	}
	gradNodes, err := G.Grad(loss, wrt...)
	if err != nil {
		t.Fatal(err)
	}
	var grads [][]float32
	for i, n := range gradNodes {
		grads = append(grads, make([]float32, len(in[i])))
		fixed[n] = grads[i]
	}
	if err := g.check(); err != nil {
		t.Fatal(err)
	}
	m, err := compile(e, g, fixed, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second run must not see the first
		if err := m.RunAll(); err != nil {
			t.Fatal(err)
		}
	}
	wide := make([][]float64, len(in))
	for i := range in {
		wide[i] = widen(in[i])
	}
	closeTo(t, "output", out, ref(wide), 1e-5)
	for i := range in {
		want := centralDifferences(wide[i], func() float64 {
			s := 0.0
			for j, v := range ref(wide) {
				s += v * float64(c[j])
			}
			return s
		})
		closeTo(t, "gradient "+string(rune('a'+i)), grads[i], want, 2e-5)
	}
}

// weightedSum is sum of c*y, whose gradient is c.
func weightedSum(e env, y arg, c []float32) *op {
	o := e.op("weighted", "sum")
	o.args, o.out, o.wrt = []arg{y}, scalar(), []bool{true}
	o.run = func(out []float32, v []G.Value) {
		s := 0.0
		for i, x := range f32(v[0]) {
			s += float64(c[i]) * float64(x)
		}
		out[0] = float32(s)
	}
	o.diff = func(_ G.Nodes, out, _ *G.Node) (G.Nodes, error) {
		n, err := apply(e.leftover("weighted", "c", scalar(), y, c), out)
		return G.Nodes{n}, err
	}
	return o
}

// TestGatheredGradientSkipsAbsentRows: a token that does not occur has the gradient +0, not -0 or garbage.
func TestGatheredGradientSkipsAbsentRows(t *testing.T) {
	spec := specs["plain"]
	m := fresh(t, spec, engine(t, 1, "ref"), 1)
	tokens := []int32{1, 2, 1, 2, 1}
	for range 2 {
		if _, err := m.Step(Inputs{Tokens: tokens, Targets: tokens}); err != nil {
			t.Fatal(err)
		}
	}
	for v := range spec.Vocab {
		row := m.Grads()[v*spec.Dim:][:spec.Dim]
		for _, x := range row {
			if absent := v != 1 && v != 2; absent != (math.Float32bits(x) == 0) {
				t.Fatalf("row %d of the embedding's gradient is %v", v, row)
			}
		}
	}
}

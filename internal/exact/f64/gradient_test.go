package f64

import (
	"math"
	"math/rand/v2"
	"testing"
)

func normal(seed uint64, n int) []float64 {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := make([]float64, n)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	return x
}

// input is an operand of a function and the gradient that is claimed for it.
type input struct {
	name string
	x, d []float64
}

// Each backward function is the derivative of the forward one: it agrees with
// central differences, whose own error is about 1e-9 here, in every element.
func TestGradients(t *testing.T) {
	const rows, dim = 3, 7
	x, u, gain, bias, dy := normal(1, rows*dim), normal(2, rows*dim), normal(3, dim), normal(4, dim), normal(5, rows*dim)
	w, ids := normal(6, 4*dim), []int32{3, 0, 3}
	heads := Heads{2, 5, 4, 2, 6}
	q, k, v, do := normal(7, 240), normal(8, 120), normal(9, 120), normal(10, 240)
	s := ConvShape{2, 6, 5, 3, 3, 2, 2, 1}
	windows, inputs := s.sizes()
	img, dcol, dpool := normal(11, inputs), normal(12, windows*18), normal(13, windows*3)
	filter, dconv := normal(14, 4*18), normal(15, windows*4)

	dNorm, dNormGain := RMSNormBackward(dy, x, gain, rows, dim, 1e-5)
	dLayer, dLayerGain, dLayerBias := LayerNormBackward(dy, x, gain, rows, dim, 1e-5)
	dGate, dUp := SwiGLUBackward(dy, x, u)
	dq, dk, dv := AttentionBackward(do, q, k, v, heads)
	_, dLogits := CrossEntropy(x, ids, rows, dim)
	_, dPred := SquaredError(x, u, rows, dim, 5)
	dImg, dFilter := ConvBackward(dconv, img, filter, 4, s)
	for _, c := range []struct {
		name   string
		loss   func() float64
		inputs []input
	}{
		{"Gemm", func() float64 { return Dot(dy[:12], Gemm(false, true, 3, 4, dim, x, w)) }, []input{
			{"a", x, Gemm(false, false, 3, dim, 4, dy[:12], w)}, {"b", w, Gemm(true, false, 4, dim, 3, dy[:12], x)}}},
		{"AddBias", func() float64 { return Dot(dy, AddBias(x, bias, rows, dim)) }, []input{{"bias", bias, BiasBackward(dy, rows, dim)}}},
		{"Gather", func() float64 { return Dot(dy, Gather(w, ids, dim)) }, []input{{"table", w, ScatterAdd(dy, ids, 4, dim)}}},
		{"RMSNorm", func() float64 { return Dot(dy, RMSNorm(x, gain, rows, dim, 1e-5)) }, []input{{"x", x, dNorm}, {"gain", gain, dNormGain}}},
		{"LayerNorm", func() float64 { return Dot(dy, LayerNorm(x, gain, bias, rows, dim, 1e-5)) },
			[]input{{"x", x, dLayer}, {"gain", gain, dLayerGain}, {"bias", bias, dLayerBias}}},
		{"GELU", func() float64 { return Dot(dy, GELU(x)) }, []input{{"x", x, GELUBackward(dy, x)}}},
		{"ReLU", func() float64 { return Dot(dy, ReLU(x)) }, []input{{"x", x, ReLUBackward(dy, x)}}},
		{"SwiGLU", func() float64 { return Dot(dy, SwiGLU(x, u)) }, []input{{"gate", x, dGate}, {"up", u, dUp}}},
		{"Rope", func() float64 { return Dot(do, Rope(q, 2, 5, 4, 6, 100, false)) }, []input{{"x", q, Rope(do, 2, 5, 4, 6, 100, true)}}},
		{"Attention", func() float64 { return Dot(do, Attention(q, k, v, heads)) }, []input{{"q", q, dq}, {"k", k, dk}, {"v", v, dv}}},
		{"CrossEntropy", func() float64 {
			losses, _ := CrossEntropy(x, ids, rows, dim)
			return Sum(losses) / rows
		}, []input{{"logits", x, dLogits}}},
		{"SquaredError", func() float64 {
			losses, _ := SquaredError(x, u, rows, dim, 5)
			return Sum(losses) / 5
		}, []input{{"pred", x, dPred}}},
		{"Im2Col", func() float64 { return Dot(dcol, Im2Col(img, s)) }, []input{{"x", img, Col2Im(dcol, s)}}},
		{"Conv", func() float64 { return Dot(dconv, Conv(img, filter, 4, s)) }, []input{{"x", img, dImg}, {"weights", filter, dFilter}}},
		{"MaxPool", func() float64 {
			y, _ := MaxPool(img, s)
			return Dot(dpool, y)
		}, []input{{"x", img, MaxPoolBackward(dpool, img, s)}}},
		{"AvgPool", func() float64 { return Dot(dpool, AvgPool(img, s)) }, []input{{"x", img, AvgPoolBackward(dpool, s)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range c.inputs {
				for i, old := range in.x {
					const h = 1e-5
					in.x[i] = old + h
					up := c.loss()
					in.x[i] = old - h
					want := (up - c.loss()) / (2 * h)
					in.x[i] = old
					if d := math.Abs(want - in.d[i]); !(d <= 1e-7*(1+math.Abs(want))) {
						t.Fatalf("%s: element %d is %v, differences give %v", in.name, i, in.d[i], want)
					}
				}
			}
		})
	}
}

// Compare on cases that are computed by hand.
func TestCompare(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, c := range []struct {
		got  []float32
		want []float64
		err  Error
	}{
		{[]float32{1, 2}, []float64{1, 2}, Error{}},
		{[]float32{1 + 0x1p-23, 2}, []float64{1, 2}, Error{1, 1, 2 / math.Sqrt(5)}},
		{[]float32{0, 4}, []float64{0x1p-149, 4}, Error{1, 0x1p-127, 0x1p-127}},
		{[]float32{float32(nan), 4}, []float64{nan, 4}, Error{}},
		{[]float32{float32(nan)}, []float64{1}, Error{inf, inf, inf}},
		{[]float32{1}, []float64{inf}, Error{inf, inf, inf}},
		{[]float32{float32(inf)}, []float64{inf}, Error{}},
	} {
		got := Compare(c.got, c.want)
		for i, pair := range [][2]float64{{got.ULP, c.err.ULP}, {got.Max, c.err.Max}, {got.RMS, c.err.RMS}} {
			if same := pair[0] == pair[1] || pair[0] != pair[0] && pair[1] != pair[1]; !same && math.Abs(pair[0]-pair[1]) > 1e-12 {
				t.Errorf("Compare(%v, %v): figure %d is %v, want %v", c.got, c.want, i, pair[0], pair[1])
			}
		}
	}
}

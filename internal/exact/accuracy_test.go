package exact

import (
	"math"
	"math/rand/v2"
	"testing"
)

// These tests check that kernels compute the right thing at all, against plain
// float64 formulas and, for gradients, against differences of the loss.

func ordinary(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func dot64(x, y []float32) (s float64) {
	for i := range x {
		s += float64(x[i]) * float64(y[i])
	}
	return s
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func TestGemmAccuracy(t *testing.T) {
	e := mustEngine(t, 1, Paths()[len(Paths())-1])
	defer e.Close()
	rng := rand.New(rand.NewPCG(11, 12))
	const m, n, k = 7, 9, 4000
	a, b, c := ordinary(rng, m*k), ordinary(rng, k*n), make([]float32, m*n)
	e.Gemm(false, false, m, n, k, a, k, b, n, c, n, false)
	for i := range m {
		for j := range n {
			want, size := 0.0, 0.0
			for p := range k {
				x := float64(a[i*k+p]) * float64(b[p*n+j])
				want, size = want+x, size+math.Abs(x)
			}
			if d := math.Abs(float64(c[i*n+j]) - want); d > 1e-6*size {
				t.Errorf("(%d,%d): off by %g of %g", i, j, d, size)
			}
		}
	}
}

// gradient checks d against central differences of f in x, some elements of it.
func gradient(t *testing.T, what string, x, d []float32, f func() float64) {
	t.Helper()
	const h = 1.0 / 128
	for i := 0; i < len(x); i += 1 + len(x)/23 {
		old := x[i]
		x[i] = old + h
		up := f()
		x[i] = old - h
		down := f()
		x[i] = old
		want := (up - down) / (2 * h)
		if diff := math.Abs(want - float64(d[i])); diff > 2e-2*(0.1+math.Abs(want)) {
			t.Errorf("%s: gradient of element %d is %v, differences give %v", what, i, d[i], want)
		}
	}
}

func TestNormGradient(t *testing.T) {
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	rng := rand.New(rand.NewPCG(13, 14))
	const rows, d = 5, 24
	x, gain, dy := ordinary(rng, rows*d), ordinary(rng, d), ordinary(rng, rows*d)
	y, r, dx, dg := make([]float32, rows*d), make([]float32, rows), make([]float32, rows*d), make([]float32, d)
	loss := func() float64 { e.RMSNorm(y, x, gain, r, rows, d, 1e-5); return dot64(y, dy) }
	loss()
	want := make([]float64, rows*d)
	for i := range want {
		row := x[i/d*d:][:d]
		want[i] = float64(x[i]) / math.Sqrt(dot64(row, row)/d+1e-5) * float64(gain[i%d])
	}
	near(t, "RMSNorm", y, want, 1e-6)
	e.RMSNormBackward(dx, dg, dy, x, gain, r, rows, d)
	gradient(t, "RMSNorm dx", x, dx, loss)
	gradient(t, "RMSNorm dgain", gain, dg, loss)
}

func TestSwiGLUGradient(t *testing.T) {
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	rng := rand.New(rand.NewPCG(15, 16))
	const n = 40
	g, u, dy := ordinary(rng, n), ordinary(rng, n), ordinary(rng, n)
	y, dg, du := make([]float32, n), make([]float32, n), make([]float32, n)
	loss := func() float64 { e.SwiGLU(y, g, u); return dot64(y, dy) }
	e.SwiGLUBackward(dg, du, dy, g, u)
	gradient(t, "SwiGLU dgate", g, dg, loss)
	gradient(t, "SwiGLU dup", u, du, loss)
}

func TestAttentionGradient(t *testing.T) {
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	rng := rand.New(rand.NewPCG(17, 18))
	const batch, seq, heads, kv, hd = 2, 9, 4, 2, 6
	q, k, v := ordinary(rng, batch*seq*heads*hd), ordinary(rng, batch*seq*kv*hd), ordinary(rng, batch*seq*kv*hd)
	do, o := ordinary(rng, len(q)), make([]float32, len(q))
	m, l := make([]float32, batch*heads*seq), make([]float32, batch*heads*seq)
	dq, dk, dv := make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(v))
	loss := func() float64 { e.Attention(o, q, k, v, m, l, batch, seq, heads, kv, hd); return dot64(o, do) }
	loss()
	// One output in float64: sequence 1, position 5, head 3.
	qAt := func(b, t, h int) []float32 { return q[((b*seq+t)*heads+h)*hd:][:hd] }
	kvAt := func(x []float32, b, t, h int) []float32 { return x[((b*seq+t)*kv+h)*hd:][:hd] }
	want, sum := make([]float64, hd), 0.0
	for j := range 6 {
		p := math.Exp(dot64(qAt(1, 5, 3), kvAt(k, 1, j, 1)) / math.Sqrt(hd))
		sum += p
		for d := range hd {
			want[d] += p * float64(kvAt(v, 1, j, 1)[d])
		}
	}
	for d := range want {
		want[d] /= sum
	}
	near(t, "Attention", o[((seq+5)*heads+3)*hd:][:hd], want, 1e-6)
	e.AttentionBackward(dq, dk, dv, do, q, k, v, o, m, l, batch, seq, heads, kv, hd)
	gradient(t, "Attention dq", q, dq, loss)
	gradient(t, "Attention dk", k, dk, loss)
	gradient(t, "Attention dv", v, dv, loss)
}

func TestCrossEntropyGradient(t *testing.T) {
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	rng := rand.New(rand.NewPCG(19, 20))
	const rows, vocab = 4, 13
	x, ids := ordinary(rng, rows*vocab), []int32{0, 12, 5, 5}
	losses, d := make([]float32, rows), make([]float32, rows*vocab)
	e.CrossEntropy(x, ids, rows, vocab, losses, d)
	gradient(t, "CrossEntropy", x, d, func() float64 {
		mean := 0.0
		for r := range rows {
			sum := 0.0
			for _, v := range x[r*vocab:][:vocab] {
				sum += math.Exp(float64(v))
			}
			mean += (math.Log(sum) - float64(x[r*vocab+int(ids[r])])) / rows
		}
		return mean
	})
	uniform := make([]float32, 256)
	e.CrossEntropy(uniform, []int32{7}, 1, 256, losses, nil)
	near(t, "uniform loss", losses[:1], []float64{math.Log(256)}, 1e-7)
}

// Rope turns a pair by position*theta^(-2i/d), and inverse turns it back.
func TestRopeAccuracy(t *testing.T) {
	const seq, hd = 50, 8
	cos, sin := RopeTable(seq, hd, 10000)
	for p := range seq {
		for i := range hd / 2 {
			angle := float64(p) * math.Pow(10000, -2*float64(i)/hd)
			near(t, "table", []float32{cos[p*hd/2+i], sin[p*hd/2+i]}, []float64{math.Cos(angle), math.Sin(angle)}, 1e-7)
		}
	}
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	x := ordinary(rand.New(rand.NewPCG(21, 22)), seq*hd)
	y := make([]float32, len(x))
	e.Rope(y, x, cos, sin, 1, seq, 1, hd, false)
	i := 7*hd + 1
	c, s := math.Cos(7*math.Pow(10000, -0.25)), math.Sin(7*math.Pow(10000, -0.25))
	near(t, "Rope", []float32{y[i], y[i+4]}, []float64{
		float64(x[i])*c - float64(x[i+4])*s, float64(x[i+4])*c + float64(x[i])*s,
	}, 1e-6)
	e.Rope(y, y, cos, sin, 1, seq, 1, hd, true)
	want := make([]float64, len(x))
	for i := range x {
		want[i] = float64(x[i])
	}
	near(t, "inverse", y, want, 1e-6)
}

func TestAdamWAccuracy(t *testing.T) {
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	h := AdamWParams{LR: 1e-2, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1}
	p, m, v := []float32{1}, []float32{0}, []float32{0}
	p64, m64, v64 := 1.0, 0.0, 0.0
	b1, b2 := float64(float32(0.9)), float64(float32(0.95))
	for step := 1; step <= 50; step++ {
		g := float32(math.Sin(float64(step)))
		h.Step = step
		e.AdamWStep(p, []float32{g}, m, v, h)
		m64 = b1*m64 + (1-b1)*float64(g)
		v64 = b2*v64 + (1-b2)*float64(g)*float64(g)
		u := m64 / (1 - math.Pow(b1, float64(step))) / (math.Sqrt(v64/(1-math.Pow(b2, float64(step)))) + 1e-8)
		p64 -= 1e-2*0.1*p64 + 1e-2*u
		near(t, "AdamW", p, []float64{p64}, 1e-5)
	}
	// Moments that decay below 2^-126 become +0, in finitely many steps.
	m[0], v[0] = -0x1p-126, 0x1p-126
	e.AdamWStep(p, []float32{0}, m, v, h)
	if differ([]float32{m[0], v[0]}, []float32{0, 0}) >= 0 {
		t.Errorf("moments %x, %x, want +0", m[0], v[0])
	}
}

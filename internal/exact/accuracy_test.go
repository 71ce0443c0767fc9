package exact

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Package accuracy holds every kernel against float64. These tests add what takes
// several steps or values chosen by hand.

func ordinary(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= tolerance*(1+math.Abs(want[i]))) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
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

func TestUniformLoss(t *testing.T) {
	e := mustEngine(t, 1, PathRef)
	defer e.Close()
	losses := make([]float32, 1)
	e.CrossEntropy(make([]float32, 256), []int32{7}, 1, 256, losses, nil)
	near(t, "uniform loss", losses, []float64{math.Log(256)}, 1e-7)
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

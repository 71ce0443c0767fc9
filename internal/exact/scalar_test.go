package exact

import (
	"flag"
	"math"
	"testing"
)

var exhaustive = flag.Bool("exhaustive", false, "test scalar functions on all float32 instead of a sample")

// ulps returns |got-want| in units of the last place of the float32 nearest want.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	if w != w || math.IsInf(float64(w), 0) {
		if got == w || (w != w && got != got) {
			return 0
		}
		return math.Inf(1)
	}
	_, exp := math.Frexp(want)
	return math.Abs(float64(got)-want) / math.Ldexp(1, max(exp, -125)-24)
}

// scalars lists each function with its float64 counterpart and the inputs below
// which the contract selects +0 instead of the value.
var scalars = []struct {
	name string
	f    func(float32) float32
	ref  func(float64) float64
	skip func(x float32) bool
}{
	{"exp", Exp, math.Exp, func(x float32) bool { return x < -87.33654 }},
	{"log", Log, math.Log, func(x float32) bool { return x < 0 }},
	{"sigmoid", Sigmoid, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }, func(x float32) bool { return x < -87.33654 }},
	{"silu", Silu, func(x float64) float64 { return x / (1 + math.Exp(-x)) }, func(x float32) bool { return x < -87.33654 }},
	{"tanh", Tanh, math.Tanh, func(float32) bool { return false }},
}

// docs/numerics.md section 3: at most 2 ulp.
func TestScalarAccuracy(t *testing.T) {
	step := uint64(4099)
	if *exhaustive {
		step = 1
	}
	for _, s := range scalars {
		worst, at := 0.0, float32(0)
		for b := uint64(0); b < 1<<32; b += step {
			x := math.Float32frombits(uint32(b))
			if s.skip(x) || x != x {
				continue
			}
			if u := ulps(s.f(x), s.ref(float64(x))); u > worst {
				worst, at = u, x
			}
		}
		t.Logf("%s: at most %.4f ulp, at %x = %v", s.name, worst, at, at)
		if !(worst <= 2) {
			t.Errorf("%s: %.4f ulp at %x", s.name, worst, at)
		}
	}
}

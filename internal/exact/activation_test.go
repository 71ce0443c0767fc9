package exact

import (
	"math"
	"testing"

	"drystone/internal/exact/f64"

	"pgregory.net/rapid"
)

func TestActivationPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dim(t, "n", 100, 20000)
		v := drawValues(t)
		x, dy := v.slice(n), v.slice(n)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			out := make([][]float32, 4)
			for i := range out {
				out[i] = make([]float32, n)
			}
			e.ReLU(out[0], x)
			e.ReLUBackward(out[1], dy, x)
			e.GELU(out[2], x)
			e.GELUBackward(out[3], dy, x)
			for i, run := range []func(y []float32){
				func(y []float32) { copy(y, x); e.ReLU(y, y) },
				func(y []float32) { copy(y, dy); e.ReLUBackward(y, y, x) },
				func(y []float32) { copy(y, x); e.GELU(y, y) },
				func(y []float32) { copy(y, x); e.GELUBackward(y, dy, y) },
			} {
				y := make([]float32, n)
				if run(y); differ(y, out[i]) >= 0 {
					t.Fatalf("%s: kernel %d in place differs", e.Path(), i)
				}
			}
			return out
		})
	})
}

// What the contract selects.
func TestActivationSelections(t *testing.T) {
	inf, nan, minus := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, path := range Paths() {
		e := mustEngine(t, 1, path)
		defer e.Close()
		for _, c := range []struct{ x, relu, drelu, gelu, dgelu float32 }{
			{nan, nan, nan, nan, nan}, {inf, inf, 7, inf, 7}, {-inf, 0, 0, minus, minus},
			{0, 0, 0, 0, 3.5}, {minus, minus, 0, minus, 3.5}, {100, 100, 7, 100, 7}, {-100, 0, 0, minus, minus},
		} {
			x, dy, y := make([]float32, 17), make([]float32, 17), make([]float32, 17)
			for i := range x {
				x[i], dy[i] = c.x, 7
			}
			check := func(name string, want float32) {
				t.Helper()
				for _, i := range []int{0, 16} {
					if differ(y[i:i+1], []float32{want}) >= 0 {
						t.Errorf("%s: %s(%v) = %v, want %v", path, name, c.x, y[i], want)
					}
				}
			}
			e.ReLU(y, x)
			check("ReLU", c.relu)
			e.ReLUBackward(y, dy, x)
			check("ReLUBackward", c.drelu)
			e.GELU(y, x)
			check("GELU", c.gelu)
			e.GELUBackward(y, dy, x)
			check("GELUBackward", c.dgelu)
		}
	}
}

// The vector gelu and its derivative on all kinds of argument.
func TestVectorGELU(t *testing.T) {
	step := uint64(3001)
	if *exhaustive {
		step = 1
	}
	for _, path := range Paths()[1:] {
		t.Run(path, func(t *testing.T) {
			e := mustEngine(t, 1, path)
			defer e.Close()
			x, y, dx, ones := make([]float32, 4096), make([]float32, 4096), make([]float32, 4096), make([]float32, 4096)
			for b := uint64(0); b < 1<<32; {
				for i := range x {
					x[i], ones[i] = math.Float32frombits(uint32(b)), 1
					b += step
				}
				e.GELU(y, x)
				e.GELUBackward(dx, ones, x)
				for i, v := range x {
					if want := Gelu(v); differ(y[i:i+1], []float32{want}) >= 0 {
						t.Fatalf("gelu(%x) = %x, want %x", v, y[i], want)
					}
					if want := geluGrad(v); differ(dx[i:i+1], []float32{want}) >= 0 {
						t.Fatalf("gelu'(%x) = %x, want %x", v, dx[i], want)
					}
				}
			}
		})
	}
}

// The derivative is good to 2.5 * 2^-23, and to a few ulp of itself where it is
// small and does not cross zero, in the left tail (docs/numerics.md, section 3).
func TestGELUDerivative(t *testing.T) {
	step, near, tail := max(1, *stride), 0.0, 0.0
	if *exhaustive {
		step = 1
	}
	for b := uint64(0); b < 1<<32; b += step {
		x := math.Float32frombits(uint32(b))
		if x != x || x < -10 {
			continue
		}
		got, want := geluGrad(x), f64.GeluGrad(float64(x))
		if x > 11 {
			want = 1 // the float64 formula has inf times 0 at the largest
		}
		near = max(near, math.Abs(float64(got)-want)*0x1p23)
		if x < -2 {
			tail = max(tail, f64.ULP(got, want))
		}
	}
	t.Logf("one in %d: at most %.4f * 2^-23, below -2 at most %.4f ulp", step, near, tail)
	if !(near <= 2.5) || !(tail <= 6) {
		t.Errorf("%.4f * 2^-23, %.4f ulp", near, tail)
	}
}

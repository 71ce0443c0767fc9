package exact

import (
	"math"
	"testing"

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

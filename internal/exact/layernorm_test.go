package exact

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

func TestLayerNormPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, d := dim(t, "rows", 20, 1100), dim(t, "dim", 80, 300)
		if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
			rows, d = rapid.IntRange(1, 3).Draw(t, "wideRows"), rapid.IntRange(4000, 9000).Draw(t, "wideDim")
		}
		v, accumulate := drawValues(t), rapid.Bool().Draw(t, "accumulate")
		x, dy, gain, bias := v.slice(rows*d), v.slice(rows*d), v.slice(d), v.slice(d)
		hold := v.slice(d)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			y, dx, mean, rstd := make([]float32, rows*d), make([]float32, rows*d), make([]float32, rows), make([]float32, rows)
			inPlace, dg, db, only := clone(x), clone(hold), clone(hold), clone(hold)
			e.LayerNorm(y, x, gain, bias, mean, rstd, rows, d, 1e-5)
			e.LayerNorm(inPlace, inPlace, gain, bias, nil, nil, rows, d, 1e-5)
			e.LayerNormBackward(dx, dg, db, dy, x, gain, mean, rstd, rows, d, accumulate)
			e.BiasBackward(only, dy, rows, d, accumulate)
			if differ(y, inPlace) >= 0 || differ(db, only) >= 0 {
				t.Fatalf("%s: in place differs, or the bias gradient from BiasBackward", e.Path())
			}
			inPlace = clone(dy)
			e.LayerNormBackward(inPlace, dg, db, inPlace, x, gain, mean, rstd, rows, d, accumulate)
			if differ(dx, inPlace) >= 0 {
				t.Fatalf("%s: backward in place differs", e.Path())
			}
			if e.LayerNormBackward(inPlace, nil, nil, dy, x, gain, mean, rstd, rows, d, accumulate); differ(dx, inPlace) >= 0 {
				t.Fatalf("%s: dx alone differs", e.Path())
			}
			return [][]float32{y, mean, rstd, dx, only, dg, db}
		})
	})
}

func TestBiasPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, d := dim(t, "rows", 60, 3000), dim(t, "dim", 80, 300)
		v, accumulate := drawValues(t), rapid.Bool().Draw(t, "accumulate")
		x, bias := v.slice(rows*d), v.slice(d)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			y, inPlace, db := make([]float32, rows*d), clone(x), clone(bias)
			e.AddBias(y, x, bias, rows, d)
			e.AddBias(inPlace, inPlace, bias, rows, d)
			if differ(y, inPlace) >= 0 {
				t.Fatalf("%s: in place differs", e.Path())
			}
			e.BiasBackward(db, x, rows, d, accumulate)
			return [][]float32{y, db}
		})
	})
}

// Gradients of gain and bias accumulated over micro-batches of multiples of 128
// rows have the bits of one call on all rows.
func TestAccumulatedRowGradients(t *testing.T) {
	const rows, d = 2300, 37
	x, dy, gain := goldenInputs(31, rows*d), goldenInputs(32, rows*d), goldenInputs(33, d)
	mean, rstd, dx := make([]float32, rows), make([]float32, rows), make([]float32, rows*d)
	for _, path := range Paths() {
		e := mustEngine(t, 3, path)
		defer e.Close()
		e.LayerNorm(clone(x), x, gain, gain, mean, rstd, rows, d, 1e-5)
		run := func(cuts ...int) [][]float32 {
			dg, db, only := make([]float32, d), make([]float32, d), make([]float32, d)
			for i, lo := range cuts[:len(cuts)-1] {
				hi := cuts[i+1]
				e.LayerNormBackward(dx[lo*d:], dg, db, dy[lo*d:], x[lo*d:], gain, mean[lo:], rstd[lo:], hi-lo, d, i > 0)
				e.BiasBackward(only, dy[lo*d:], hi-lo, d, i > 0)
			}
			return [][]float32{dg, db, only}
		}
		want := run(0, rows)
		for _, cuts := range [][]int{{0, 128, rows}, {0, 1024, 1152, 2048, rows}, {0, 512, 512, rows}} {
			for i, got := range run(cuts...) {
				if differ(got, want[i]) >= 0 {
					t.Errorf("%s: cuts %v: gradient %d differs", path, cuts, i)
				}
			}
		}
	}
}

// The gradients of gain and bias are column folds.
func TestBiasFoldOrder(t *testing.T) {
	for _, rows := range []int{1, 127, 128, 129, 1700} {
		dy, ones := goldenInputs(uint64(rows), rows), make([]float32, rows)
		for i := range ones {
			ones[i] = 1
		}
		want := modelColumn(dy, ones)
		for _, path := range Paths() {
			t.Run(fmt.Sprintf("%s/%d", path, rows), func(t *testing.T) {
				e := mustEngine(t, 2, path)
				defer e.Close()
				got := []float32{9}
				e.BiasBackward(got, dy, rows, 1, false)
				if differ(got, []float32{want}) >= 0 {
					t.Errorf("%x, want %x", got[0], want)
				}
			})
		}
	}
}

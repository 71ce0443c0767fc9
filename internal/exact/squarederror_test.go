package exact

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestSquaredErrorPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, d := dim(t, "rows", 20, 200), dim(t, "dim", 100, 600)
		if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
			rows, d = 2, rapid.IntRange(4000, 9000).Draw(t, "wideDim")
		}
		v, divisor := drawValues(t), rapid.IntRange(1, 1<<20).Draw(t, "divisor")
		pred, target := v.slice(rows*d), v.slice(rows*d)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			loss, only, dp, inPlace := make([]float32, rows), make([]float32, rows), make([]float32, rows*d), clone(pred)
			e.SquaredError(pred, target, rows, d, loss, dp, divisor)
			e.SquaredError(pred, target, rows, d, only, nil, divisor)
			e.SquaredError(inPlace, target, rows, d, loss, inPlace, divisor)
			if differ(loss, only) >= 0 || differ(dp, inPlace) >= 0 {
				t.Fatalf("%s: without gradient or in place differs", e.Path())
			}
			return [][]float32{loss, dp}
		})
	})
}

// Ties go to the lowest index; NaN is not looked at.
func TestArgMaxRows(t *testing.T) {
	inf, nan, minus := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, path := range Paths() {
		e := mustEngine(t, 2, path)
		defer e.Close()
		for _, c := range []struct {
			x    []float32
			want int32
		}{
			{[]float32{1, 2, 2}, 1}, {[]float32{minus, 0, 0}, 0}, {[]float32{nan, -3, -3}, 1}, {[]float32{nan, nan, nan}, 0},
			{[]float32{-inf, -inf, -inf}, 0}, {[]float32{-inf, 1, inf}, 2}, {[]float32{3, nan, 2}, 0},
		} {
			got := []int32{-1}
			if e.ArgMaxRows(got, c.x, 1, 3); got[0] != c.want {
				t.Errorf("%s: argmax%v = %d, want %d", path, c.x, got[0], c.want)
			}
		}
	}
}

package robust

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Yin et al. 2018, definitions 1 and 2: with f < n/2 liars every value of either merge lies among the honest values, and
// no order of the contributions shows.
func TestCoordinateRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, func(n int) int { return (n - 1) / 2 })
		n := len(c.rows)
		order := rapid.Permutation(identity(n)).Draw(t, "order")
		shuffled := make([][]float32, n)
		for i, from := range order {
			shuffled[i] = c.rows[from]
		}
		dim := len(c.centre)
		out := [4][]float32{}
		for i, rows := range [][][]float32{c.rows, shuffled} {
			out[2*i], out[2*i+1] = make([]float32, dim), make([]float32, dim)
			MergeTrimmed(out[2*i], rows, c.f)
			MergeMedian(out[2*i+1], rows)
		}
		if !slices.Equal(out[0], out[2]) || !slices.Equal(out[1], out[3]) {
			t.Fatal("the order of contributions shows")
		}
		for j := range dim {
			low, high := c.rows[n-1][j], c.rows[n-1][j]
			for _, row := range c.rows[c.f:] {
				low, high = min(low, row[j]), max(high, row[j])
			}
			for k, got := range [][]float32{out[0], out[1]} {
				if got[j] < low || got[j] > high {
					t.Fatalf("rule %d gives %v at %d, the honest have %v to %v", k, got[j], j, low, high)
				}
			}
		}
	})
}

func TestCoordinateByHand(t *testing.T) {
	zero := float32(math.Copysign(0, -1))
	rows := [][]float32{{1, zero, 5}, {9, 0, 5}, {2, zero, 5}, {4, zero, math.MaxFloat32}}
	for _, tt := range []struct {
		name  string
		merge func(out []float32, rows [][]float32)
		want  []float32
	}{
		{"trimmed by one", func(out []float32, rows [][]float32) { MergeTrimmed(out, rows, 1) }, []float32{3, 0, 5}},
		{"trimmed by more than there are", func(out []float32, rows [][]float32) { MergeTrimmed(out, rows, 9) }, []float32{3, 0, 5}},
		{"median", MergeMedian, []float32{3, 0, 5}},
		{"median of three", func(out []float32, rows [][]float32) { MergeMedian(out, rows[:3]) }, []float32{2, 0, 5}},
		{"trimmed by none", func(out []float32, rows [][]float32) { MergeTrimmed(out, rows[:3], 0) }, []float32{4, 0, 5}},
	} {
		out := make([]float32, 3)
		tt.merge(out, rows)
		if !slices.Equal(out, tt.want) || math.Signbit(float64(out[1])) {
			t.Errorf("%s: %v, want %v", tt.name, out, tt.want)
		}
	}
}

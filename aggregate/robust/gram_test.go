package robust

import (
	"math"
	"slices"
	"testing"
)

func definition(x, y []float32) (total float64) {
	for lo := 0; lo < len(x); lo += block {
		hi := min(lo+block, len(x))
		var lane []float64
		for l := range 8 {
			sum := 0.0
			for p := lo + l; p < hi; p += 8 {
				product := float64(x[p]) * float64(y[p])
				sum = sum + product
			}
			lane = append(lane, sum)
		}
		for len(lane) > 1 {
			half := len(lane) / 2
			next := make([]float64, half)
			for l := range next {
				next[l] = lane[l] + lane[l+half]
			}
			lane = next
		}
		total += lane[0]
	}
	return total
}

// Equal vectors have no distance at all, whatever their length, and vectors one unit in the last place apart have the one
// that they have: float32 would give anything.
func TestDistanceOfNearlyEqual(t *testing.T) {
	x := make([]float32, 3*block+5)
	for j := range x {
		x[j] = 1 + float32(j%97)/97
	}
	y := slices.Clone(x)
	y[0] += 0x1p-10
	g := gramOf([][]float32{x, slices.Clone(x), y})
	if d := g.distance2(0, 1); d != 0 {
		t.Errorf("equal vectors are %g apart", d)
	}
	if d, want := g.distance2(0, 2), 0x1p-20; math.Abs(d-want) > 1e-3*want {
		t.Errorf("squared distance %g, want %g", d, want)
	}
}

func TestGramAdds(t *testing.T) {
	x, y := []float32{1, 2, 3}, []float32{4, -5, 6}
	whole, part := gramOf([][]float32{x, y}), gramOf([][]float32{x[:1], y[:1]})
	part.Add(gramOf([][]float32{x[1:], y[1:]}))
	if !slices.Equal(whole.g, part.g) || whole.At(0, 1) != 12 {
		t.Errorf("parts sum to %v, want %v", part.g, whole.g)
	}
}

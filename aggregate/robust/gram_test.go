package robust

import (
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The inner products are those of the definition in the package comment, written another way: lanes as strided sums, and
// sums of zeros included.
func TestGramFollowsItsDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 7, 8, 9, Block - 3, Block, Block + 1, 2*Block + 50}).Draw(t, "params")
		seed := rapid.Uint64().Draw(t, "seed")
		rows := make([][]float32, 7)
		for i := range rows {
			keep := rapid.SampledFrom([]uint64{1, 2, 30, 1000}).Draw(t, "one in")
			rows[i] = make([]float32, n)
			for j := range rows[i] {
				seed = seed*6364136223846793005 + 1442695040888963407
				if (seed>>40)%keep == 0 {
					rows[i][j] = float32(int32(seed>>32)) / 3
				} else if seed>>63 == 1 {
					rows[i][j] = float32(math.Copysign(0, -1))
				}
			}
		}
		g := gramOf(rows)
		for i := range rows {
			for j := range rows {
				if want := definition(rows[i], rows[j]); math.Float64bits(g.At(i, j)) != math.Float64bits(want) {
					t.Fatalf("product of %d and %d is %x, want %x", i, j, g.At(i, j), want)
				}
			}
		}
	})
}

func definition(x, y []float32) (total float64) {
	for lo := 0; lo < len(x); lo += Block {
		hi := min(lo+Block, len(x))
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
	x := make([]float32, 3*Block+5)
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

func BenchmarkGram(b *testing.B) {
	for _, keep := range []int{1, 64} {
		b.Run(map[int]string{1: "dense", 64: "one in 64"}[keep], func(b *testing.B) {
			rows := make([]Row, 16)
			for i := range rows {
				rows[i].Values = make([]float32, Block)
				for j := i; j < Block; j += keep {
					rows[i].Values[j] = float32(j + 1)
				}
				if keep > 1 {
					rows[i] = places(rows[i])
				}
			}
			g := NewGram(len(rows))
			for b.Loop() {
				g.AddBlock(rows)
			}
			b.ReportMetric(float64(len(rows)*Block)*float64(b.N)/b.Elapsed().Seconds(), "values/s")
		})
	}
}

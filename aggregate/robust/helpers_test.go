package robust

import (
	"math"
	"math/rand/v2"

	"pgregory.net/rapid"
)

// block is how many parameters package delta folds at once.
const block = 4096

// gramOf is the Gram matrix of whole vectors in one shard.
func gramOf(rows [][]float32) *Gram {
	n := len(rows)
	products := make([]float64, n*n)
	for i, x := range rows {
		for j, y := range rows[:i+1] {
			products[i*n+j] = definition(x, y)
			products[j*n+i] = products[i*n+j]
		}
	}
	return GramOf(n, products)
}

func equalSteps(n int) []uint32 {
	steps := make([]uint32, n)
	for i := range steps {
		steps[i] = 15
	}
	return steps
}

// merged is the sum of w_i x_i, in float64.
func merged(rows [][]float32, w []float64) []float64 {
	out := make([]float64, len(rows[0]))
	for i, r := range rows {
		for j, x := range r {
			out[j] += w[i] * float64(x)
		}
	}
	return out
}

func apart(x []float64, y []float32) float64 {
	var sum float64
	for j := range x {
		d := x[j] - float64(y[j])
		sum += d * d
	}
	return math.Sqrt(sum)
}

// crowd is n vectors of which the first f lie: the others are within 1 of the honest centre.
type crowd struct {
	rows   [][]float32
	f      int
	centre []float32
}

// aCrowd draws a crowd whose liars all stand at one place, or each at its own, or far away, or among the honest.
func aCrowd(t *rapid.T, atMost func(n int) int) crowd {
	n := rapid.IntRange(3, 24).Draw(t, "n")
	f := rapid.IntRange(0, atMost(n)).Draw(t, "liars")
	dim := rapid.SampledFrom([]int{1, 3, 40}).Draw(t, "dim")
	far := rapid.SampledFrom([]float64{0.5, 2, 10, 1e3, 1e8}).Draw(t, "far")
	together := rapid.Bool().Draw(t, "together")
	src := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	direction := func() []float64 {
		v, norm := make([]float64, dim), 0.0
		for j := range v {
			v[j] = src.NormFloat64()
			norm += v[j] * v[j]
		}
		for j := range v {
			v[j] /= math.Sqrt(norm)
		}
		return v
	}
	c := crowd{f: f, centre: make([]float32, dim)}
	for j, x := range direction() {
		c.centre[j] = float32(x)
	}
	liar := direction()
	for i := range n {
		step, length := direction(), src.Float64()*0.999
		if i < f {
			length = far
			if together {
				step = liar
			}
		}
		row := make([]float32, dim)
		for j := range row {
			row[j] = c.centre[j] + float32(length*step[j])
		}
		c.rows = append(c.rows, row)
	}
	return c
}

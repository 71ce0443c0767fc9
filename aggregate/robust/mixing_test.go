package robust

import (
	"testing"

	"pgregory.net/rapid"
)

// Allouah et al. 2023, lemma 5: mixing leaves the honest, by scatter and by bias together, at most 8f/(n-f) of the
// scatter that they had, whatever the liars sent.
func TestMixingLemma(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		n := len(c.rows)
		g, steps := gramOf(c.rows), equalSteps(n)
		m := newMixture(g, steps, c.f)
		honest := identity(n)[c.f:]
		all := average(steps, honest)
		before := scatter(g, honest, all)
		mixed := m.gram(g)
		after := scatter(mixed, honest, all)
		centre := make([]float64, n) // the honest mean after mixing, less the one before
		for i, w := range m.back(all) {
			centre[i] = w - all[i]
		}
		var bias float64
		for i, x := range g.apply(centre) {
			bias += centre[i] * x
		}
		scale := mixed.At(n-1, n-1) + g.At(0, 0) // what rounding is relative to
		if bound := 8 * float64(c.f) / float64(n-c.f) * before; after+bias > bound+1e-9*scale {
			t.Fatalf("scatter %g and bias %g, bound %g", after, bias, bound)
		}
	})
}

// scatter is the mean squared distance of some vectors from the sum of a_j x_j.
func scatter(g *Gram, of []int, a []float64) (mean float64) {
	d := distances(g, a)
	for _, i := range of {
		mean += d[i] * d[i] / float64(len(of))
	}
	return mean
}

// The Gram matrix of the mixed vectors is that of the vectors mixed one by one.
func TestMixedGram(t *testing.T) {
	rows := [][]float32{{1, 0}, {2, 1}, {2, 2}, {100, -100}, {1, 1}}
	g := gramOf(rows)
	m := newMixture(g, []uint32{1, 2, 3, 4, 5}, 1)
	var mixed [][]float64
	for i := range rows {
		mixed = append(mixed, merged(rows, m.rows[i]))
	}
	h := m.gram(g)
	for i := range rows {
		for j := range rows {
			want := mixed[i][0]*mixed[j][0] + mixed[i][1]*mixed[j][1]
			if got := h.At(i, j); got-want > 1e-9 || want-got > 1e-9 || got != h.At(j, i) {
				t.Errorf("product of %d and %d is %v, want %v", i, j, got, want)
			}
		}
	}
	for i, row := range m.rows {
		if (row[3] > 0) != (i == 3) {
			t.Errorf("vector %d is mixed with weights %v", i, row)
		}
	}
}

// A permutation of the vectors permutes what each is mixed from.
func TestMixingPermutes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		if !distinct(c.rows) || len(c.centre) == 1 { // on a line two may be equally near
			return
		}
		n := len(c.rows)
		order := rapid.Permutation(identity(n)).Draw(t, "order")
		shuffled := make([][]float32, n)
		for i, from := range order {
			shuffled[i] = c.rows[from]
		}
		m, p := newMixture(gramOf(c.rows), equalSteps(n), c.f), newMixture(gramOf(shuffled), equalSteps(n), c.f)
		for i, from := range order {
			for j, other := range order {
				if p.rows[i][j] != m.rows[from][other] {
					t.Fatalf("vector %d has %v of %d, permuted %v", from, m.rows[from][other], other, p.rows[i][j])
				}
			}
		}
	})
}

package robust

// mixture replaces every vector by the mean of its nearest neighbours.
type mixture struct {
	rows [][]float64 // weights of the vectors in each mixed one
}

// newMixture mixes each vector with the n-f nearest, itself one of them.
func newMixture(g *Gram, steps []uint32, f int) *mixture {
	m := &mixture{}
	near := make([]float64, g.n)
	for i := range g.n {
		for j := range near {
			near[j] = g.distance2(i, j)
		}
		near[i] = -1 // before any copy of it
		m.rows = append(m.rows, average(steps, lowest(near, g.n-f)))
	}
	return m
}

// gram returns the inner products of the mixed vectors: M G M', (GM') first, the upper half mirrored.
func (m *mixture) gram(g *Gram) *Gram {
	h := NewGram(g.n)
	for j := range g.n {
		gm := g.apply(m.rows[j])
		for i := range j + 1 {
			var sum float64
			for k, w := range m.rows[i] {
				sum += float64(w * gm[k])
			}
			h.g[i*g.n+j], h.g[j*g.n+i] = sum, sum
		}
	}
	return h
}

// back turns weights of the mixed vectors into weights of those that they are mixed from.
func (m *mixture) back(a []float64) []float64 {
	out := make([]float64, len(a))
	for i, w := range a {
		for j, x := range m.rows[i] {
			out[j] += float64(w * x)
		}
	}
	return out
}

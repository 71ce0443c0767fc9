package robust

// Gram holds the inner products of n vectors. It is not safe for concurrent use while it is added to.
type Gram struct {
	n int
	g []float64 // (n, n), symmetric
}

// GramOf returns the matrix with these products, (n, n) and symmetric, whose memory becomes its own.
func GramOf(n int, products []float64) *Gram { return &Gram{n: n, g: products} }

// NewGram returns the matrix of n empty vectors.
func NewGram(n int) *Gram { return &Gram{n: n, g: make([]float64, n*n)} }

// Len returns n.
func (g *Gram) Len() int { return g.n }

// At returns the inner product of vectors i and j.
func (g *Gram) At(i, j int) float64 { return g.g[i*g.n+j] }

// Add adds the inner products over other parameters of the same n vectors.
func (g *Gram) Add(h *Gram) {
	for i := range g.g {
		g.g[i] += h.g[i]
	}
}

// scaled returns the matrix of s[i] times vector i.
func (g *Gram) scaled(s []float64) *Gram {
	h := NewGram(g.n)
	for i := range g.n {
		for j := range g.n {
			h.g[i*g.n+j] = float64(s[i]*s[j]) * g.At(i, j)
		}
	}
	return h
}

// distance2 returns the squared distance of vectors i and j.
func (g *Gram) distance2(i, j int) float64 {
	return max(0, (g.At(i, i)+g.At(j, j))-2*g.At(i, j))
}

// apply returns Ga: the inner product of each vector with the sum of a_j x_j.
func (g *Gram) apply(a []float64) []float64 {
	out := make([]float64, g.n)
	for i := range out {
		for j, w := range a {
			out[i] += float64(g.At(i, j) * w)
		}
	}
	return out
}

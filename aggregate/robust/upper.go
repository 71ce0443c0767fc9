package robust

// Upper returns the inner products of i and j for j >= i, row by row: n(n+1)/2 numbers, which give the matrix.
func (g *Gram) Upper() []float64 {
	upper := make([]float64, 0, g.n*(g.n+1)/2)
	for i := range g.n {
		for j := i; j < g.n; j++ {
			upper = append(upper, g.At(i, j))
		}
	}
	return upper
}

// FromUpper returns the matrix that Upper was taken of, of n vectors: upper has n(n+1)/2 numbers.
func FromUpper(n int, upper []float64) *Gram {
	g := NewGram(n)
	for i := range n {
		for j := i; j < n; j++ {
			g.g[i*n+j], g.g[j*n+i] = upper[0], upper[0]
			upper = upper[1:]
		}
	}
	return g
}

package robust

// Block is the largest number of parameters that AddBlock folds at once.
const Block = 4096

const lanes = 8

// Gram holds the inner products of n vectors. It is not safe for concurrent use while it is added to.
type Gram struct {
	n int
	g []float64 // (n, n), symmetric
}

// NewGram returns the matrix of n empty vectors.
func NewGram(n int) *Gram { return &Gram{n, make([]float64, n*n)} }

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

// AddBlock adds the inner products over one block: rows holds the same 1 to Block parameters of each of the n vectors,
// finite values. It takes time in proportion to the values that are not zero.
func (g *Gram) AddBlock(rows [][]float32) {
	present := make([][]int32, g.n) // where a row is not zero; nil for a row without many zeros
	for i, row := range rows {
		present[i] = nonzero(row)
	}
	for i, x := range rows {
		for j := i; j < g.n; j++ {
			var d float64
			switch y := rows[j]; {
			case present[i] != nil && (present[j] == nil || len(present[i]) <= len(present[j])):
				d = dotAt(x, y, present[i])
			case present[j] != nil:
				d = dotAt(x, y, present[j])
			default:
				d = dot(x, y)
			}
			g.g[i*g.n+j] += d
			if i != j {
				g.g[j*g.n+i] += d
			}
		}
	}
}

// nonzero returns the places of the values other than zero, or nil if they are more than an eighth.
func nonzero(x []float32) []int32 {
	at := make([]int32, 0, len(x)/8)
	for p, v := range x {
		if v != 0 {
			if len(at) == cap(at) {
				return nil
			}
			at = append(at, int32(p))
		}
	}
	return at
}

// dot folds a block as the package comment says.
func dot(x, y []float32) float64 {
	var acc [lanes]float64
	y = y[:len(x)]
	p := 0
	for ; p+lanes <= len(x); p += lanes {
		a, b := x[p:p+lanes:p+lanes], y[p:p+lanes:p+lanes]
		acc[0] += float64(a[0]) * float64(b[0])
		acc[1] += float64(a[1]) * float64(b[1])
		acc[2] += float64(a[2]) * float64(b[2])
		acc[3] += float64(a[3]) * float64(b[3])
		acc[4] += float64(a[4]) * float64(b[4])
		acc[5] += float64(a[5]) * float64(b[5])
		acc[6] += float64(a[6]) * float64(b[6])
		acc[7] += float64(a[7]) * float64(b[7])
	}
	for ; p < len(x); p++ {
		acc[p%lanes] += float64(x[p]) * float64(y[p])
	}
	return tree(&acc)
}

// dotAt is dot where one of x and y is zero everywhere but at the given places.
func dotAt(x, y []float32, at []int32) float64 {
	var acc [lanes]float64
	for _, p := range at {
		acc[p%lanes] += float64(x[p]) * float64(y[p])
	}
	return tree(&acc)
}

func tree(acc *[lanes]float64) float64 {
	for half := lanes / 2; half > 0; half /= 2 {
		for l := range half {
			acc[l] += acc[l+half]
		}
	}
	return acc[0]
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

package robust

// Block is the largest number of parameters that AddBlock folds at once.
const Block = 4096

const lanes = 8

// Gram holds the inner products of n vectors. It is not safe for concurrent use while it is added to.
type Gram struct {
	n int
	g []float64 // (n, n), symmetric

	// Scratch of AddBlock.
	quad   []float64 // (Block, quad), zeros between calls
	sparse []entries // of each row with places
}

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

// Row is one block of one vector: the values that are there and their places, ascending, each below Block. Without places
// (nil) there is a value for every parameter of the block.
type Row struct {
	At     []uint16
	Values []float32
}

// AddBlock adds the inner products over one block: the same 1 to Block parameters of each of the n vectors, finite
// values. Of rows with places it takes time in proportion to the values that are there.
func (g *Gram) AddBlock(rows []Row) {
	if g.quad == nil {
		g.quad = make([]float64, Block*quad)
		g.sparse = make([]entries, g.n)
	}
	for i, row := range rows {
		if row.At != nil {
			g.sparse[i].set(row)
		}
	}
	for i := 0; i < g.n; i += quad {
		four := rows[i:min(i+quad, g.n)]
		g.pack(four, false)
		for j := i; j < g.n; j++ {
			d := g.dots(four, rows[j], &g.sparse[j])
			for r := range four[:min(len(four), j-i+1)] {
				g.g[(i+r)*g.n+j] += d[r]
				g.g[j*g.n+i+r] = g.g[(i+r)*g.n+j]
			}
		}
		g.pack(four, true)
	}
}

// quad is how many rows are multiplied with another one at once.
const quad = 4

// pack puts the values of up to quad rows side by side into g.quad, or takes them out again.
func (g *Gram) pack(rows []Row, out bool) {
	for r, row := range rows {
		for i, x := range row.Values {
			p := i
			if row.At != nil {
				p = int(row.At[i])
			}
			if out {
				x = 0
			}
			g.quad[p*quad+r] = float64(x)
		}
	}
}

// dots returns the products of up to quad rows, which are packed, with row y, whose entries are e if it has places.
func (g *Gram) dots(four []Row, y Row, e *entries) (d [quad]float64) {
	if y.At != nil {
		return e.dots(g.quad)
	}
	for r, x := range four {
		if x.At == nil {
			d[r] = dot(x.Values, y.Values)
		} else {
			d[r] = dotAt(x, y.Values)
		}
	}
	return d
}

// entries are the values of a row, lane by lane, ascending in each.
type entries struct {
	at    []uint16
	value []float64
	lane  [lanes + 1]int // where each lane begins
}

func (e *entries) set(row Row) {
	if n := len(row.At); len(e.at) < n {
		e.at, e.value = make([]uint16, n), make([]float64, n)
	}
	var n [lanes + 1]int
	for _, p := range row.At {
		n[p%lanes+1]++
	}
	for l := range lanes {
		n[l+1] += n[l]
	}
	e.lane = n
	for i, p := range row.At {
		k := n[p%lanes]
		e.at[k], e.value[k] = p, float64(row.Values[i])
		n[p%lanes]++
	}
}

// dots folds the products with the rows that lie side by side in packed, as the package comment says.
func (e *entries) dots(packed []float64) (d [quad]float64) {
	var acc [quad][lanes]float64
	for l := range lanes {
		var s0, s1, s2, s3 float64
		at := e.at[e.lane[l]:e.lane[l+1]]
		value := e.value[e.lane[l]:e.lane[l+1]][:len(at)]
		for i, p := range at {
			x, v := (*[quad]float64)(packed[int(p)*quad:]), value[i]
			s0 += v * x[0]
			s1 += v * x[1]
			s2 += v * x[2]
			s3 += v * x[3]
		}
		acc[0][l], acc[1][l], acc[2][l], acc[3][l] = s0, s1, s2, s3
	}
	for r := range d {
		d[r] = tree(&acc[r])
	}
	return d
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

// dotAt is dot of a row with places and one without.
func dotAt(x Row, y []float32) float64 {
	var acc [lanes]float64
	for i, p := range x.At {
		acc[p%lanes] += float64(x.Values[i]) * float64(y[p])
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

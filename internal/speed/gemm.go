package speed

import (
	"fmt"
	"math/rand/v2"

	"drystone/internal/exact"
)

// Product is the shape of a matrix product: op(A) (M,K) times op(B) (K,N), each stored transposed or not.
type Product struct {
	Name           string
	TransA, TransB bool
	M, N, K        int
}

// Squares returns the products of square matrices of the given sides.
func Squares(sides ...int) []Product {
	var ps []Product
	for _, n := range sides {
		ps = append(ps, Product{fmt.Sprint(n), false, false, n, n, n})
	}
	return ps
}

// Products returns the shapes of all matrix products of the model's training step, each shape once: per linear layer y = x
// wᵀ, the gradient of its input and that of its weights.
func (m Model) Products() []Product {
	s, rows := m.Shape, m.Rows()
	hd := s.Dim / s.Heads
	var ps []Product
	seen := map[[2]int]bool{}
	for _, l := range []struct {
		name    string
		in, out int
	}{
		{"q", s.Dim, s.Heads * hd}, {"k", s.Dim, s.KVHeads * hd}, {"o", s.Heads * hd, s.Dim},
		{"gate", s.Dim, s.FFN}, {"down", s.FFN, s.Dim}, {"head", s.Dim, s.Vocab},
	} {
		if key := [2]int{l.in, l.out}; !seen[key] {
			seen[key] = true
			ps = append(ps,
				Product{m.Name + " " + l.name + " y", false, true, rows, l.out, l.in},
				Product{m.Name + " " + l.name + " dx", false, false, rows, l.in, l.out},
				Product{m.Name + " " + l.name + " dw", true, false, l.out, l.in, rows})
		}
	}
	return ps
}

// GFLOP returns the work of the product, in units of 10⁹ operations.
func (p Product) GFLOP() float64 { return 2 * float64(p.M) * float64(p.N) * float64(p.K) / 1e9 }

// Speed returns a measurement of the product on the engine in GFLOP/s, warmed up.
func (p Product) Speed(eng *exact.Engine) func() float64 {
	a, b, c := Normals(p.M*p.K), Normals(p.K*p.N), exact.Floats(p.M*p.N)
	lda, ldb := p.K, p.N
	if p.TransA {
		lda = p.M
	}
	if p.TransB {
		ldb = p.K
	}
	once := func() { eng.Gemm(p.TransA, p.TransB, p.M, p.N, p.K, a, lda, b, ldb, c, p.N, false) }
	once()
	return func() float64 { return p.GFLOP() / PerCall(once) }
}

// Normals returns n normally distributed numbers, always the same.
func Normals(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	x := exact.Floats(n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

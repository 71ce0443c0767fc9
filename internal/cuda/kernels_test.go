package cuda

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"drystone/internal/exact"
)

var long = flag.Bool("long", false, "many more shapes, and larger ones")

// trial computes one thing on a device: operands come from draw, and what it returns is compared.
type trial struct {
	exact.Kernels
	rng *rand.Rand
}

// in returns n operands: of moderate size, now and then special ones.
func (t *trial) in(n int) []float32 {
	x := t.Floats(n)
	special := t.rng.IntN(4) == 0
	for i := range x {
		x[i] = float32(t.rng.NormFloat64())
		if special && t.rng.IntN(20) == 0 {
			x[i] = [...]float32{0, float32(math.Copysign(0, -1)), 1e-40, -3e-39, 1e30, -2e25, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 88, -100}[t.rng.IntN(11)]
		}
	}
	return x
}

func (t *trial) ids(n, limit int) []int32 {
	x := t.Ints(n)
	for i := range x {
		x[i] = int32(t.rng.IntN(limit))
	}
	return x
}

func (t *trial) n(most int) int { return 1 + t.rng.IntN(most) }

// shape returns windows over images.
func (t *trial) shape() exact.ConvShape {
	for {
		s := exact.ConvShape{Batch: t.n(2), Height: t.n(8), Width: t.n(8), Channels: t.n(3), KernelH: t.n(3), KernelW: t.n(3), Stride: t.n(3), Pad: t.rng.IntN(2)}
		if s.Validate() == nil {
			return s
		}
	}
}

// trials are all kernels. Each run draws a shape.
var trials = map[string]func(t *trial) [][]float32{
	"gemm": func(t *trial) [][]float32 {
		m, n, k := t.n(40), t.n(40), t.rng.IntN(400)
		return t.product(m, n, k)
	},
	"add": func(t *trial) [][]float32 {
		n := t.n(700)
		a, b, y, z := t.in(n), t.in(n), t.Floats(n), t.Floats(n)
		t.Add(y, a, b)
		t.Sub(z, a, b)
		t.Add(a, a, b)
		return [][]float32{y, z, a}
	},
	"scale": func(t *trial) [][]float32 {
		n := t.n(700)
		a, b, y := t.in(n), t.in(n), t.Floats(n)
		t.Scale(y, a, 0.3)
		t.FMA(b, -1.7, a)
		return [][]float32{y, b}
	},
	"activations": func(t *trial) [][]float32 {
		n := t.n(700)
		x, d := t.in(n), t.in(n)
		if t.rng.IntN(2) == 0 {
			t.Scale(x, x, 8)
		}
		relu, reluBack, gelu, geluBack := t.Floats(n), t.Floats(n), t.Floats(n), t.Floats(n)
		t.ReLU(relu, x)
		t.ReLUBackward(reluBack, d, x)
		t.GELU(gelu, x)
		t.GELUBackward(geluBack, d, x)
		return [][]float32{relu, reluBack, gelu, geluBack}
	},
	"swiglu": func(t *trial) [][]float32 {
		n := t.n(700)
		gate, up, dy, y, dg, du := t.in(n), t.in(n), t.in(n), t.Floats(n), t.Floats(n), t.Floats(n)
		if t.rng.IntN(2) == 0 {
			t.Scale(gate, gate, 30)
		}
		t.SwiGLU(y, gate, up)
		t.SwiGLUBackward(dg, du, dy, gate, up)
		return [][]float32{y, dg, du}
	},
	"bias": func(t *trial) [][]float32 {
		rows, dim := t.n(300), t.n(40)
		x, bias, y, d := t.in(rows*dim), t.in(dim), t.Floats(rows*dim), t.in(dim)
		t.AddBias(y, x, bias, rows, dim)
		t.BiasBackward(d, x, rows, dim, t.rng.IntN(2) == 0)
		return [][]float32{y, d}
	},
	"adamw": func(t *trial) [][]float32 {
		n := t.n(700)
		p, g, m, v := t.in(n), t.in(n), t.in(n), t.Floats(n)
		h := exact.AdamWParams{LR: 3e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: t.n(50)}
		t.AdamWStep(p, g, m, v, h)
		h.Step++
		t.AdamWStep(p, g, m, v, h)
		return [][]float32{p, m, v}
	},
	"rmsnorm": func(t *trial) [][]float32 {
		rows, dim := t.n(20), t.n(100)
		switch t.rng.IntN(8) {
		case 0:
			rows, dim = t.n(3), 4000+t.n(5000)
		case 1:
			rows, dim = t.n(300), t.n(4)
		}
		x, gain, dy, plus := t.in(rows*dim), t.in(dim), t.in(rows*dim), t.in(rows*dim)
		y, rstd, dx, dgain := t.Floats(rows*dim), t.Floats(rows), t.Floats(rows*dim), t.in(dim)
		if t.rng.IntN(2) == 0 {
			plus = nil
		}
		t.RMSNorm(y, x, gain, rstd, rows, dim, 1e-5)
		if t.rng.IntN(2) == 0 {
			t.Copy(dx, dy)
			dy = dx
		}
		t.RMSNormBackwardAdd(dx, dgain, plus, dy, x, gain, rstd, rows, dim, t.rng.IntN(2) == 0)
		return [][]float32{y, rstd, dx, dgain}
	},
	"rope": func(t *trial) [][]float32 {
		batch, seq, heads, half := t.n(3), t.n(9), t.n(3), t.n(9)
		n := batch * seq * heads * 2 * half
		x, y, cos, sin := t.in(n), t.Floats(n), t.in(seq*half), t.in(seq*half)
		t.Rope(y, x, cos, sin, batch, seq, heads, 2*half, t.rng.IntN(2) == 0)
		return [][]float32{y}
	},
	"attention": func(t *trial) [][]float32 { return t.attention(t.n(2), t.n(20), t.n(2), t.n(2), t.n(10)) },
	"attention over blocks": func(t *trial) [][]float32 {
		return t.attention(1, 120+t.n(40), 1, t.n(2), t.n(3))
	},
	"attention of wide heads": func(t *trial) [][]float32 { return t.attention(1, t.n(4), 1, 1, 120+t.n(140)) },
	"cross entropy": func(t *trial) [][]float32 {
		rows, vocab := t.n(6), t.n(300)
		if t.rng.IntN(8) == 0 {
			rows, vocab = 1, 4090+t.n(5000)
		}
		x, ids, losses, d := t.in(rows*vocab), t.ids(rows, vocab), t.Floats(rows), t.Floats(rows*vocab)
		switch t.rng.IntN(3) {
		case 0:
			d = nil
		case 1:
			d = x
		}
		t.CrossEntropyPart(x, ids, rows, vocab, rows+t.rng.IntN(9), losses, d)
		return [][]float32{losses, d}
	},
	"squared error": func(t *trial) [][]float32 {
		rows, dim := t.n(20), t.n(50)
		x, y, losses, d := t.in(rows*dim), t.in(rows*dim), t.Floats(rows), t.Floats(rows*dim)
		t.SquaredError(x, y, rows, dim, losses, d, t.n(1000))
		return [][]float32{losses, d}
	},
	"embedding": func(t *trial) [][]float32 {
		rows, vocab, dim := t.n(400), t.n(20), t.n(40)
		table, ids, dy, y := t.in(vocab*dim), t.ids(rows, vocab), t.in(rows*dim), t.Floats(rows*dim)
		t.Gather(y, table, ids, dim)
		lo := t.rng.IntN(vocab)
		hi := lo + t.rng.IntN(vocab-lo+1)
		part := t.Floats((hi - lo) * dim)
		t.ScatterAddRows(part, dy, ids, vocab, dim, lo, hi, false)
		t.ScatterAddRows(part, dy, ids, vocab, dim, lo, hi, true)
		return [][]float32{y, part}
	},
	"reductions": func(t *trial) [][]float32 {
		x, y := t.in(t.n(13000)), t.Floats(3)
		t.Mean(y, x)
		t.SumSquaresTo(y[1:], x)
		t.SumSquaresTo(y[2:], nil)
		return [][]float32{y}
	},
	"windows": func(t *trial) [][]float32 {
		s := t.shape()
		n := s.Batch * s.Height * s.Width * s.Channels
		x, col, dx := t.in(n), t.Floats(s.Rows()*s.Cols()), t.Floats(n)
		t.Im2Col(col, x, s)
		t.Col2Im(dx, col, s)
		return [][]float32{col, dx}
	},
	"max pool": func(t *trial) [][]float32 {
		s := t.shape()
		n, out := s.Batch*s.Height*s.Width*s.Channels, s.Rows()*s.Channels
		x, y, index, dy, dx := t.in(n), t.Floats(out), t.Ints(out), t.in(out), t.Floats(n)
		t.MaxPool(y, index, x, s)
		t.MaxPoolBackward(dx, dy, index, s)
		at := make([]float32, out)
		if err := t.Wait(); err != nil {
			panic(err)
		}
		for i, v := range index {
			at[i] = float32(v)
		}
		return [][]float32{y, dx, at}
	},
}

func (t *trial) product(m, n, k int) [][]float32 {
	ta, tb := t.rng.IntN(2) == 0, t.rng.IntN(2) == 0
	lda, ldb, ldc := k, n, n+t.rng.IntN(3)
	if ta {
		lda = m
	}
	if tb {
		ldb = k
	}
	lda, ldb = lda+t.rng.IntN(3), ldb+t.rng.IntN(3)
	a, b, c := t.in(max(m, k)*max(lda, 1)), t.in(max(n, k)*max(ldb, 1)), t.in(m*ldc)
	t.Gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, t.rng.IntN(2) == 0)
	return [][]float32{c}
}

func (t *trial) attention(batch, seq, kv, group, hd int) [][]float32 {
	n, nkv := batch*seq*kv*group*hd, batch*seq*kv*hd
	q, k, v, do := t.in(n), t.in(nkv), t.in(nkv), t.in(n)
	o, peak, sum := t.Floats(n), t.Floats(batch*seq*kv*group), t.Floats(batch*seq*kv*group)
	dq, dk, dv := t.Floats(n), t.Floats(nkv), t.Floats(nkv)
	t.Attention(o, q, k, v, peak, sum, batch, seq, kv*group, kv, hd)
	t.AttentionBackward(dq, dk, dv, do, q, k, v, o, peak, sum, batch, seq, kv*group, kv, hd)
	return [][]float32{o, peak, sum, dq, dk, dv}
}

// Every kernel of the committed PTX gives the bits of the reference (docs/numerics.md, section 4), over drawn shapes and with
// special values among the operands, in whatever order threads run.
func TestKernels(t *testing.T) {
	runs := 12
	if *long {
		runs = 300
	}
	if testing.Short() {
		runs = 4
	}
	ref, err := exact.NewPath(1, exact.PathRef)
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	for name, run := range trials {
		t.Run(name, func(t *testing.T) {
			card, sim := simCard(t)
			for seed := range runs {
				sim.opt.Reverse = seed%2 == 1
				sim.about.Processors = 1 + seed%3*8
				compare(t, card, ref, uint64(seed), run)
				card.Forget()
			}
		})
	}
}

// compare runs one trial on both and compares the results.
func compare(t *testing.T, card *Card, ref *exact.Engine, seed uint64, run func(*trial) [][]float32) {
	t.Helper()
	want := run(&trial{ref, rand.New(rand.NewPCG(seed, 3))})
	got := run(&trial{card, rand.New(rand.NewPCG(seed, 3))})
	if err := card.Wait(); err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	for i := range want {
		if at := firstDifference(got[i], want[i]); at >= 0 {
			t.Fatalf("seed %d: result %d of %d: element %d of %d is %v, want %v", seed, i, len(want), at, len(want[i]), got[i][at], want[i][at])
		}
	}
}

func firstDifference(got, want []float32) int {
	if len(got) != len(want) {
		return min(len(got), len(want))
	}
	return slices.IndexFunc(want, func() func(float32) bool {
		i := -1
		return func(w float32) bool {
			i++
			g := got[i]
			return math.Float32bits(g) != math.Float32bits(w) && (g == g || w == w)
		}
	}())
}

// The large tile and the division over blocks of the fold, which small products do not reach by themselves.
func TestLargeTiles(t *testing.T) {
	ref, err := exact.NewPath(1, exact.PathRef)
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	for _, c := range []struct {
		m, n, k, processors int
		ran                 string
	}{{130, 7, 140, 1, "gemm_large"}, {5, 131, 300, 1, "gemm_large"}, {33, 31, 700, 16, "join"}, {1, 1, 1300, 3, "join"}, {40, 5, 129, 100, "join"}} {
		t.Run(fmt.Sprintf("%dx%dx%d", c.m, c.n, c.k), func(t *testing.T) {
			card, sim := simCard(t)
			sim.about.Processors = c.processors
			for seed := range uint64(4) {
				compare(t, card, ref, seed, func(t *trial) [][]float32 { return t.product(c.m, c.n, c.k) })
			}
			if sim.ran[c.ran] == 0 {
				t.Errorf("%s never ran: %v", c.ran, sim.ran)
			}
		})
	}
}

// Every kernel of the file is run by some trial.
func TestAllKernelsTried(t *testing.T) {
	card, sim := simCard(t)
	for _, run := range trials {
		for seed := range uint64(4) {
			run(&trial{card, rand.New(rand.NewPCG(seed, 3))})
		}
	}
	sim.about.Processors = 1
	(&trial{card, rand.New(rand.NewPCG(1, 3))}).product(129, 129, 1)
	for _, name := range kernelNames {
		if sim.ran[name] == 0 {
			t.Errorf("no trial runs %s", name)
		}
	}
}

package exact

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// values draws test data. Most are ordinary; one profile is full of the special
// values on which fast paths tend to differ.
type values struct {
	rng     *rand.Rand
	special bool
}

func drawValues(t *rapid.T) *values {
	return &values{rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)), rapid.IntRange(0, 3).Draw(t, "special") == 0}
}

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0x1p-126, -0x1p-126, 0x1p-149, -0x1p-149, 0x1.8p-127, 0x1p-75, -0x1p-75,
	0x1p-140, 3e38, -3e38, float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()), 88.8, -87.4, -104, 0x1p23,
}

func (v *values) slice(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(v.rng.NormFloat64())
		if v.special && v.rng.IntN(4) == 0 {
			// Infinities and NaN rarely, or nothing else is left of a row.
			k := v.rng.IntN(len(specials))
			if k >= 12 && k <= 16 && v.rng.IntN(64) > 0 {
				k = v.rng.IntN(12)
			}
			x[i] = specials[k]
		}
	}
	return x
}

func (v *values) ints(n, below int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = int32(v.rng.IntN(below))
	}
	return x
}

// engines returns ref on one thread and every other path on a drawn number.
func drawEngines(t *rapid.T) (ref *Engine, others []*Engine) {
	threads := rapid.IntRange(1, 8).Draw(t, "threads")
	for _, p := range Paths() {
		n := threads
		if p == PathRef {
			ref = mustEngine(t, 1, p)
			t.Cleanup(ref.Close)
			if n == 1 {
				continue
			}
		}
		e := mustEngine(t, n, p)
		t.Cleanup(e.Close)
		others = append(others, e)
	}
	return ref, others
}

func mustEngine(t interface{ Fatal(...any) }, threads int, path string) *Engine {
	e, err := NewPath(threads, path)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// kernelRun runs a kernel on an engine and returns all that it wrote.
type kernelRun func(e *Engine) [][]float32

// sameOnAllPaths is the property of the package: one result, to the bit.
func sameOnAllPaths(t *rapid.T, run kernelRun) {
	ref, others := drawEngines(t)
	want := run(ref)
	for _, e := range others {
		for round := range 2 { // the second on used scratch memory
			got := run(e)
			for i := range want {
				if at := differ(got[i], want[i]); at >= 0 {
					t.Fatalf("%s, %d threads, round %d: output %d element %d of %d is %x, ref has %x",
						e.Path(), e.Threads(), round, i, at, len(want[i]), got[i][at], want[i][at])
				}
			}
		}
	}
}

// differ returns the first element whose bits differ, -1 if none; NaNs are equal.
func differ(a, b []float32) int {
	if len(a) != len(b) {
		return 0
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && !(a[i] != a[i] && b[i] != b[i]) {
			return i
		}
	}
	return -1
}

func clone(x []float32) []float32 { return append([]float32(nil), x...) }

func dim(t *rapid.T, name string, small, large int) int {
	if rapid.IntRange(0, 5).Draw(t, name+"Large") == 0 {
		return rapid.IntRange(1, large).Draw(t, name+"Wide")
	}
	return rapid.IntRange(1, small).Draw(t, name)
}

func TestGemmPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, n, k := dim(t, "m", 40, 130), dim(t, "n", 70, 200), dim(t, "k", 40, 1600)
		v := drawValues(t)
		ta, tb := rapid.Bool().Draw(t, "transA"), rapid.Bool().Draw(t, "transB")
		ar, ac, br, bc := m, k, k, n
		if ta {
			ar, ac = k, m
		}
		if tb {
			br, bc = n, k
		}
		pad := rapid.IntRange(0, 9)
		lda, ldb, ldc := ac+pad.Draw(t, "lda"), bc+pad.Draw(t, "ldb"), n+pad.Draw(t, "ldc")
		// Exact lengths: a kernel that reads past the last row fails on bounds.
		a, b, c := v.slice((ar-1)*lda+ac), v.slice((br-1)*ldb+bc), v.slice((m-1)*ldc+n)
		acc := rapid.Bool().Draw(t, "accumulate")
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			out := clone(c)
			e.Gemm(ta, tb, m, n, k, a, lda, b, ldb, out, ldc, acc)
			return [][]float32{out}
		})
	})
}

func TestNormPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, d := dim(t, "rows", 20, 1100), dim(t, "dim", 80, 300)
		if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
			rows, d = rapid.IntRange(1, 3).Draw(t, "wideRows"), rapid.IntRange(4000, 9000).Draw(t, "wideDim")
		}
		v := drawValues(t)
		x, dy, gain := v.slice(rows*d), v.slice(rows*d), v.slice(d)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			y, dx, dg, rstd := make([]float32, rows*d), make([]float32, rows*d), make([]float32, d), make([]float32, rows)
			e.RMSNorm(y, x, gain, rstd, rows, d, 1e-5)
			e.RMSNormBackward(dx, dg, dy, x, gain, rstd, rows, d)
			return [][]float32{y, rstd, dx, dg}
		})
	})
}

func TestElementPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dim(t, "n", 100, 20000)
		v := drawValues(t)
		a, b, c := v.slice(n), v.slice(n), v.slice(n)
		s := v.slice(1)[0]
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			out := make([][]float32, 9)
			for i := range out {
				out[i] = clone(c)
			}
			e.Add(out[0], a, b)
			e.Sub(out[1], a, b)
			e.Scale(out[2], a, s)
			e.FMA(out[3], s, a)
			e.SwiGLU(out[4], a, b)
			e.SwiGLUBackward(out[5], out[6], c, a, b)
			e.Add(out[7], out[7], b)
			out[8] = []float32{e.Sum(a), e.SumSquares(a)}
			return out
		})
	})
}

func TestAdamWPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := dim(t, "n", 100, 20000)
		v := drawValues(t)
		p, g, m := v.slice(n), v.slice(n), v.slice(n)
		sq := v.slice(n)
		for i := range sq {
			sq[i] *= sq[i]
		}
		h := AdamWParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: rapid.IntRange(1, 100000).Draw(t, "step")}
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			p, m, sq := clone(p), clone(m), clone(sq)
			e.AdamWStep(p, g, m, sq, h)
			e.AdamWStep(p, g, m, sq, h)
			return [][]float32{p, m, sq}
		})
	})
}

func TestRopePaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch, seq, heads := rapid.IntRange(1, 3).Draw(t, "batch"), dim(t, "seq", 9, 70), rapid.IntRange(1, 5).Draw(t, "heads")
		d := 2 * rapid.SampledFrom([]int{1, 4, 5, 8, 16, 24, 32, 64}).Draw(t, "half")
		v := drawValues(t)
		x := v.slice(batch * seq * heads * d)
		cos, sin := RopeTable(seq+3, d, 10000)
		inverse := rapid.Bool().Draw(t, "inverse")
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			y, inPlace := make([]float32, len(x)), clone(x)
			e.Rope(y, x, cos, sin, batch, seq, heads, d, inverse)
			e.Rope(inPlace, inPlace, cos, sin, batch, seq, heads, d, inverse)
			if differ(y, inPlace) >= 0 {
				t.Fatalf("%s: in place differs", e.Path())
			}
			return [][]float32{y}
		})
	})
}

func TestAttentionPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batch, kv, group := rapid.IntRange(1, 2).Draw(t, "batch"), rapid.IntRange(1, 2).Draw(t, "kv"), rapid.IntRange(1, 3).Draw(t, "group")
		seq := dim(t, "seq", 30, 100)
		d := rapid.SampledFrom([]int{1, 5, 8, 16, 20, 32, 40, 64}).Draw(t, "headDim")
		if rapid.IntRange(0, 60).Draw(t, "long") == 37 { // several fold blocks
			batch, kv, group, d, seq = 1, 1, 2, 4, rapid.IntRange(510, 1100).Draw(t, "longSeq")
		}
		attentionPaths(t, drawValues(t), batch, seq, kv*group, kv, d)
	})
}

// A head dimension over one fold block, which no model has.
func TestAttentionPathsWideHead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		if rapid.IntRange(0, 9).Draw(t, "run") == 0 {
			attentionPaths(t, drawValues(t), 1, rapid.IntRange(1, 12).Draw(t, "seq"), 2, 1, rapid.IntRange(500, 1100).Draw(t, "headDim"))
		}
	})
}

func attentionPaths(t *rapid.T, v *values, batch, seq, heads, kv, d int) {
	nq, nkv := batch*seq*heads*d, batch*seq*kv*d
	q, do, k, val := v.slice(nq), v.slice(nq), v.slice(nkv), v.slice(nkv)
	sameOnAllPaths(t, func(e *Engine) [][]float32 {
		o, dq, dk, dv := make([]float32, nq), make([]float32, nq), make([]float32, nkv), make([]float32, nkv)
		m, l := make([]float32, batch*heads*seq), make([]float32, batch*heads*seq)
		e.Attention(o, q, k, val, m, l, batch, seq, heads, kv, d)
		e.AttentionBackward(dq, dk, dv, do, q, k, val, o, m, l, batch, seq, heads, kv, d)
		return [][]float32{o, m, l, dq, dk, dv}
	})
}

func TestCrossEntropyPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, vocab := dim(t, "rows", 20, 200), dim(t, "vocab", 100, 600)
		if rapid.IntRange(0, 9).Draw(t, "wide") == 0 {
			rows, vocab = 2, rapid.IntRange(4000, 9000).Draw(t, "wideVocab")
		}
		v := drawValues(t)
		logits, targets := v.slice(rows*vocab), v.ints(rows, vocab)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			loss, only, d, inPlace := make([]float32, rows), make([]float32, rows), make([]float32, rows*vocab), clone(logits)
			e.CrossEntropy(logits, targets, rows, vocab, loss, d)
			e.CrossEntropy(logits, targets, rows, vocab, only, nil)
			e.CrossEntropy(inPlace, targets, rows, vocab, loss, inPlace)
			if differ(loss, only) >= 0 || differ(d, inPlace) >= 0 {
				t.Fatalf("%s: without gradient or in place differs", e.Path())
			}
			return [][]float32{loss, d}
		})
	})
}

func TestEmbeddingPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, vocab, d := dim(t, "rows", 60, 1500), dim(t, "vocab", 10, 300), dim(t, "dim", 40, 130)
		v := drawValues(t)
		table, dy, ids := v.slice(vocab*d), v.slice(rows*d), v.ints(rows, vocab)
		sameOnAllPaths(t, func(e *Engine) [][]float32 {
			y, dt := make([]float32, rows*d), v.slice(vocab*d)
			e.Gather(y, table, ids, d)
			e.ScatterAdd(dt, dy, ids, vocab, d)
			return [][]float32{y, dt}
		})
	})
}

// The vector exponential on all kinds of argument, through a row of scores.
func TestVectorExp(t *testing.T) {
	step := uint32(3001)
	if *exhaustive {
		step = 1
	}
	for _, path := range Paths()[1:] {
		t.Run(path, func(t *testing.T) {
			e := mustEngine(t, 1, path)
			defer e.Close()
			x, gate, ones := make([]float32, 4096), make([]float32, 4096), make([]float32, 4096)
			for b := uint64(0); b < 1<<32; {
				for i := range x {
					x[i], ones[i] = math.Float32frombits(uint32(b)), 1
					b += uint64(step)
				}
				e.SwiGLU(gate, x, ones)
				y := clone(x)
				e.vec.expSum(&y[0], len(y)/lanes, 0, (*[lanes]float32)(&e.scratch[0].lanes))
				for i := range x {
					if want := Exp(x[i]); differ(y[i:i+1], []float32{want}) >= 0 {
						t.Fatalf("exp(%x) = %x, want %x", x[i], y[i], want)
					}
					if want := Silu(x[i]); differ(gate[i:i+1], []float32{want}) >= 0 {
						t.Fatalf("silu(%x) = %x, want %x", x[i], gate[i], want)
					}
				}
			}
		})
	}
}

func ExampleEngine_Gemm() {
	e, err := NewPath(1, PathRef)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer e.Close()
	x, w, y := []float32{1, 2, 3, 4}, []float32{1, 0, 0, 1, 1, 1}, make([]float32, 6)
	e.Gemm(false, true, 2, 3, 2, x, 2, w, 2, y, 3, false) // y (2,3) = x (2,2) times w (3,2) transposed
	fmt.Println(y)
	// Output: [1 2 3 3 4 7]
}

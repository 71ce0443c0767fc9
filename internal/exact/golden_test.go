package exact

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden digests")

const goldenFile = "testdata/golden.txt"

// golden holds the pinned digests: any machine and any path must find the same.
type golden map[string]string

func readGolden(t *testing.T) golden {
	t.Helper()
	g := golden{}
	f, err := os.Open(goldenFile)
	if err != nil {
		if *update {
			return g
		}
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, digest, ok := strings.Cut(s.Text(), " "); ok && name != "#" {
			g[name] = digest
		}
	}
	return g
}

func (g golden) check(t *testing.T, name, digest string) {
	t.Helper()
	if g[name] == digest {
		return
	}
	if !*update {
		t.Errorf("%s: digest %s, golden file has %q", name, digest, g[name])
		return
	}
	g[name] = digest
	names := []string{}
	for n := range g {
		names = append(names, n)
	}
	sort.Strings(names)
	var b strings.Builder
	fmt.Fprintf(&b, "# %s: SHA-256 of little-endian float32 results, NaN as 7fc00000\n", Version)
	for _, n := range names {
		fmt.Fprintln(&b, n, g[n])
	}
	if err := os.WriteFile(goldenFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// goldenInputs are integers over powers of two, so that no library function that
// another machine may compute differently enters.
func goldenInputs(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 0))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.IntN(1<<22)-1<<21) / (1 << 20)
	}
	return x
}

func digestOf(outputs ...[]float32) string {
	h := sha256.New()
	var b [4]byte
	for _, out := range outputs {
		for _, v := range out {
			bits := math.Float32bits(v)
			if v != v {
				bits = 0x7fc00000
			}
			binary.LittleEndian.PutUint32(b[:], bits)
			h.Write(b[:])
		}
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// goldenKernels run each kernel once on pinned inputs with sizes that exercise
// several fold blocks, ragged edges and shared kv heads.
var goldenKernels = []struct {
	name string
	run  func(e *Engine) [][]float32
}{
	{"gemm", func(e *Engine) [][]float32 {
		const m, n, k = 19, 45, 1100
		a, b, c := goldenInputs(1, m*k), goldenInputs(2, k*n), goldenInputs(3, m*n)
		d := make([]float32, m*n)
		e.Gemm(false, false, m, n, k, a, k, b, n, c, n, true)
		e.Gemm(true, true, m, n, k, a, m, b, k, d, n, false)
		return [][]float32{c, d}
	}},
	{"rmsnorm", func(e *Engine) [][]float32 {
		const rows, dim = 1030, 37
		x, dy, gain := goldenInputs(4, rows*dim), goldenInputs(5, rows*dim), goldenInputs(6, dim)
		y, dx, dg, r := make([]float32, rows*dim), make([]float32, rows*dim), make([]float32, dim), make([]float32, rows)
		e.RMSNorm(y, x, gain, r, rows, dim, 1e-5)
		e.RMSNormBackward(dx, dg, dy, x, gain, r, rows, dim)
		return [][]float32{y, r, dx, dg}
	}},
	{"swiglu", func(e *Engine) [][]float32 {
		const n = 3001
		g, u, d := goldenInputs(7, n), goldenInputs(8, n), goldenInputs(9, n)
		y, dg, du := make([]float32, n), make([]float32, n), make([]float32, n)
		e.Scale(g, g, 9)
		e.SwiGLU(y, g, u)
		e.SwiGLUBackward(dg, du, d, g, u)
		return [][]float32{y, dg, du}
	}},
	{"rope", func(e *Engine) [][]float32 {
		const batch, seq, heads, hd = 2, 300, 3, 32
		cos, sin := RopeTable(seq, hd, 10000)
		x := goldenInputs(10, batch*seq*heads*hd)
		y := make([]float32, len(x))
		e.Rope(y, x, cos, sin, batch, seq, heads, hd, false)
		e.Rope(x, x, cos, sin, batch, seq, heads, hd, true)
		return [][]float32{cos, sin, y, x}
	}},
	{"attention", func(e *Engine) [][]float32 {
		const batch, seq, heads, kv, hd = 1, 530, 2, 1, 12
		q, k, v, do := goldenInputs(11, seq*heads*hd), goldenInputs(12, seq*kv*hd), goldenInputs(13, seq*kv*hd), goldenInputs(14, seq*heads*hd)
		o, dq, dk, dv := make([]float32, len(q)), make([]float32, len(q)), make([]float32, len(k)), make([]float32, len(k))
		m, l := make([]float32, heads*seq), make([]float32, heads*seq)
		e.Attention(o, q, k, v, m, l, batch, seq, heads, kv, hd)
		e.AttentionBackward(dq, dk, dv, do, q, k, v, o, m, l, batch, seq, heads, kv, hd)
		return [][]float32{o, m, l, dq, dk, dv}
	}},
	{"crossentropy", func(e *Engine) [][]float32 {
		const rows, vocab = 7, 5003
		x, loss, d, ids := goldenInputs(15, rows*vocab), make([]float32, rows), make([]float32, rows*vocab), make([]int32, rows)
		for i := range ids {
			ids[i] = int32(i * 700)
		}
		e.CrossEntropy(x, ids, rows, vocab, loss, d)
		return [][]float32{loss, d}
	}},
	{"scatteradd", func(e *Engine) [][]float32 {
		const rows, vocab, dim = 1300, 11, 21
		ids, d := make([]int32, rows), make([]float32, vocab*dim)
		for i := range ids {
			ids[i] = int32(i * i % 10)
		}
		e.ScatterAdd(d, goldenInputs(16, rows*dim), ids, vocab, dim)
		return [][]float32{d}
	}},
	{"reduce", func(e *Engine) [][]float32 {
		x := goldenInputs(17, 3*rowBlock+77)
		return [][]float32{{e.Sum(x), e.SumSquares(x), e.Sum(x[:100])}}
	}},
	{"adamw", func(e *Engine) [][]float32 {
		const n = 2003
		p, g, m, v := goldenInputs(18, n), goldenInputs(19, n), goldenInputs(20, n), make([]float32, n)
		for step := range 3 {
			e.AdamWStep(p, g, m, v, AdamWParams{LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: step + 1})
		}
		return [][]float32{p, m, v}
	}},
	{"layernorm", func(e *Engine) [][]float32 {
		const rows, dim = 1030, 37
		x, dy, gain, bias := goldenInputs(21, rows*dim), goldenInputs(22, rows*dim), goldenInputs(23, dim), goldenInputs(24, dim)
		y, dx, m, r := make([]float32, rows*dim), make([]float32, rows*dim), make([]float32, rows), make([]float32, rows)
		dg, db, more, sum := make([]float32, dim), make([]float32, dim), clone(gain), clone(bias)
		e.LayerNorm(y, x, gain, bias, m, r, rows, dim, 1e-5)
		e.LayerNormBackward(dx, dg, db, dy, x, gain, m, r, rows, dim, false)
		e.LayerNormBackward(dx, more, sum, dy, x, gain, m, r, rows, dim, true)
		return [][]float32{y, m, r, dx, dg, db, more, sum}
	}},
	{"bias", func(e *Engine) [][]float32 {
		const rows, dim = 1030, 37
		x, bias, y := goldenInputs(25, rows*dim), goldenInputs(26, dim), make([]float32, rows*dim)
		e.AddBias(y, x, bias, rows, dim)
		db, more := make([]float32, dim), clone(bias)
		e.BiasBackward(db, x, rows, dim, false)
		e.BiasBackward(more, x, rows, dim, true)
		return [][]float32{y, db, more}
	}},
	{"activation", func(e *Engine) [][]float32 {
		const n = 3001
		x, dy := goldenInputs(27, n), goldenInputs(28, n)
		out := make([][]float32, 4)
		for i := range out {
			out[i] = make([]float32, n)
		}
		e.Scale(x, x, 6)
		e.GELU(out[0], x)
		e.GELUBackward(out[1], dy, x)
		e.ReLU(out[2], x)
		e.ReLUBackward(out[3], dy, x)
		return out
	}},
	{"windows", func(e *Engine) [][]float32 {
		s := ConvShape{Batch: 3, Height: 9, Width: 11, Channels: 19, KernelH: 3, KernelW: 4, Stride: 2, Pad: 1}
		x, dcol, dy := goldenInputs(29, s.inputs()), goldenInputs(30, s.Rows()*s.Cols()), goldenInputs(31, s.pooled())
		col, dx, top, dtop := make([]float32, len(dcol)), make([]float32, len(x)), make([]float32, len(dy)), make([]float32, len(x))
		avg, davg, index, at := make([]float32, len(dy)), make([]float32, len(x)), make([]int32, len(dy)), make([]float32, len(dy))
		e.Im2Col(col, x, s)
		e.Col2Im(dx, dcol, s)
		e.MaxPool(top, index, x, s)
		e.MaxPoolBackward(dtop, dy, index, s)
		e.AvgPool(avg, x, s)
		e.AvgPoolBackward(davg, dy, s)
		for i, v := range index {
			at[i] = float32(v)
		}
		return [][]float32{col, dx, top, at, dtop, avg, davg}
	}},
	{"squarederror", func(e *Engine) [][]float32 {
		const rows, dim = 7, 5003
		pred, target := goldenInputs(32, rows*dim), goldenInputs(33, rows*dim)
		loss, d, index, at := make([]float32, rows), make([]float32, rows*dim), make([]int32, rows), make([]float32, rows)
		e.SquaredError(pred, target, rows, dim, loss, d, 3*rows)
		e.ArgMaxRows(index, pred, rows, dim)
		for i, v := range index {
			at[i] = float32(v)
		}
		return [][]float32{loss, d, at}
	}},
}

// Every path here finds the digests that other machines found.
func TestGolden(t *testing.T) {
	g := readGolden(t)
	for _, path := range Paths() {
		e := mustEngine(t, 3, path)
		defer e.Close()
		for _, k := range goldenKernels {
			t.Run(path+"/"+k.name, func(t *testing.T) { g.check(t, "kernel-"+k.name, digestOf(k.run(e)...)) })
		}
	}
}

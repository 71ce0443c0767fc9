package delta

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"

	"pgregory.net/rapid"
)

// vectors returns the kernels of every path that this processor can run and that has any.
func vectors() (all []*vector) {
	for _, p := range exact.Paths() {
		if v := vectorFor(p); v != nil {
			all = append(all, v)
		}
	}
	return all
}

var specials = []float32{
	0, float32(math.Copysign(0, -1)), 1, -1, 0x1p-126, -0x1p-126, 0x1p-149, -0x1p-149, 0x1.8p-127, 3e38, -3e38, 0x1p-24,
	float32(math.Inf(1)), float32(math.Inf(-1)), float32(math.NaN()),
}

// drawLong draws up to a chunk: ordinary values, few distinct ones, all bit patterns, or specials among them. The last
// special ones are not finite and come only if asked for.
func drawLong(t *rapid.T, name string, n int, finite bool) []float32 {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, name), 3))
	kind, known := rapid.IntRange(0, 3).Draw(t, name+" kind"), specials
	if finite {
		known = known[:len(known)-3]
	}
	x := make([]float32, n)
	for i := range x {
		switch kind {
		case 0:
			x[i] = float32(rng.NormFloat64() * 1e-3)
		case 1:
			x[i] = float32(rng.IntN(7)-3) * 0x1p-9
		case 2:
			x[i] = math.Float32frombits(rng.Uint32())
			if finite && magnitudeBits(x[i]) >= expMask {
				x[i] = 0
			}
		default:
			x[i] = float32(rng.ExpFloat64())
			if rng.IntN(3) == 0 {
				x[i] = known[rng.IntN(len(known))]
			}
		}
	}
	return x
}

func drawLength(t *rapid.T) int {
	return rapid.OneOf(rapid.IntRange(1, 70), rapid.IntRange(1, ChunkParams), rapid.Just(ChunkParams)).Draw(t, "n")
}

func sameBits(x, y []float32) bool {
	return slices.EqualFunc(x, y, func(a, b float32) bool {
		return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
	})
}

// Every kernel returns the bits of the Go code.
func TestKernelsMatchGo(t *testing.T) {
	var law *vector
	rapid.Check(t, func(t *rapid.T) {
		n := drawLength(t)
		a, u, below := drawLong(t, "a", n, false), drawLong(t, "u", n, false), rapid.Uint32Max(1<<31-1).Draw(t, "below")
		if at := rapid.IntRange(-1, n-1).Draw(t, "threshold of"); at >= 0 {
			below = magnitudeBits(a[at])
		}
		w := rapid.Float32Range(-2, 2).Draw(t, "w")
		fine, scale := drawLong(t, "fine", n, true), rapid.Uint16Range(1, maxHalf).Draw(t, "scale")
		for _, v := range vectors() {
			got, want := slices.Clone(a), slices.Clone(a)
			top, wantTop := v.accumulate(got, got, u, w), law.accumulate(want, want, u, w)
			if !sameBits(got, want) || (top >= expMask) != (wantTop >= expMask) || top < expMask && top != wantTop {
				t.Fatalf("accumulate: %x %x, want %x %x", got, top, want, wantTop)
			}
			if got, want := v.top(a), law.top(a); got != want {
				t.Fatalf("top %x, want %x", got, want)
			}
			if got, want := v.count(a, below), law.count(a, below); got != want {
				t.Fatalf("count above %x: %d, want %d", below, got, want)
			}
			marks, wantMarks := new(scratch), new(scratch)
			for i := range marks.marks {
				marks.marks[i] = rapid.Uint64().Draw(t, "stale")
			}
			copy(wantMarks.marks[(n+63)/64:], marks.marks[(n+63)/64:])
			v.mark(&marks.marks, a, below)
			law.mark(&wantMarks.marks, a, below)
			if marks.marks != wantMarks.marks {
				t.Fatalf("marks above %x: %x, want %x", below, marks.marks, wantMarks.marks)
			}
			got, want = slices.Clone(a), slices.Clone(a)
			v.flush(got)
			law.flush(want)
			if !sameBits(got, want) {
				t.Fatalf("flush: %x, want %x", got, want)
			}
			v.fma(got, denseBytes(u), w)
			law.fma(want, denseBytes(u), w)
			if !sameBits(got, want) {
				t.Fatalf("fma: %x, want %x", got, want)
			}
			for _, bits := range []int{4, 8} {
				got, want = slices.Clone(fine), slices.Clone(fine)
				levels, wantLevels := make([]byte, n), make([]byte, n)
				v.levels(levels, got, unit(scale, bits), limit(bits))
				law.levels(wantLevels, want, unit(scale, bits), limit(bits))
				if !sameBits(got, want) || !bytes.Equal(levels, wantLevels) {
					t.Fatalf("levels: %x %x, want %x %x", got, levels, want, wantLevels)
				}
				v.addLevels(got, levels, unit(scale, bits), w)
				law.addLevels(want, levels, unit(scale, bits), w)
				if !sameBits(got, want) {
					t.Fatalf("addLevels: %x, want %x", got, want)
				}
			}
		}
	})
}

// Whole rows of levels and tiles of rows, of any bytes: also those that no encoder writes.
func TestLevelKernelsMatchGo(t *testing.T) {
	var law *vector
	rapid.Check(t, func(t *rapid.T) {
		levels := make([]byte, drawLength(t))
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "levels"), 4))
		for i := range levels {
			levels[i] = byte(rng.Uint32())
		}
		if rapid.Bool().Draw(t, "no -128") {
			levels = bytes.ReplaceAll(levels, []byte{0x80}, []byte{0x81})
		}
		for _, v := range vectors() {
			if got, want := v.levelTop(levels), law.levelTop(levels); got != want {
				t.Fatalf("top %d, want %d", got, want)
			}
			if got, want := v.levelSquares(levels), law.levelSquares(levels); got != want {
				t.Fatalf("squares %d, want %d", got, want)
			}
		}
	})
}

func denseBytes(x []float32) (b []byte) {
	for _, y := range x {
		bits := math.Float32bits(y)
		b = append(b, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
	}
	return b
}

// Step 2 by kernels chooses what the Go code chooses, ties included.
func TestChooseMatchesSelection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := drawLong(t, "x", drawLength(t), true)
		n := rapid.OneOf(rapid.IntRange(1, len(x)), rapid.IntRange(1, min(len(x), 80))).Draw(t, "k")
		want := selectTop(nil, x, n)
		for _, v := range append(vectors(), nil) {
			s := new(scratch)
			m := v.choose(s, x, n, v.top(x))
			if !slices.Equal(s.at[:m], want) {
				t.Fatalf("chose %d, want %d", s.at[:m], want)
			}
			for i, at := range want {
				if s.value[i] != x[at] {
					t.Fatalf("value %d is %v, want %v", i, s.value[i], x[at])
				}
			}
		}
	})
}

// One payload and one error feedback on every path.
func TestPathsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		u, before := drawLong(t, "u", drawLength(t), true), drawLong(t, "before", ChunkParams, true)
		before = before[:len(u)]
		type result struct {
			payload    []byte
			after, sum []float32
			squares    float64
			err        error
		}
		run := func(path string) (r result) {
			c, err := newPath(spec, path)
			if err != nil {
				t.Fatal(err)
			}
			c = c.WithMask(7, 7)
			r.after = slices.Clone(before)
			r.payload, r.err = c.Encode(nil, u, r.after)
			if r.err != nil {
				return result{err: r.err}
			}
			r.sum = slices.Clone(u)
			if err := errors.Join(c.Validate(r.payload, len(u)), c.AddTo(r.sum, 0.3, r.payload)); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			r.squares, r.err = c.SumSquares(r.payload, len(u))
			return r
		}
		want := run(exact.PathRef)
		for _, path := range exact.Paths() {
			got := run(path)
			if !bytes.Equal(got.payload, want.payload) || !sameBits(got.after, want.after) || !sameBits(got.sum, want.sum) ||
				got.squares != want.squares || (got.err == nil) != (want.err == nil) {
				t.Fatalf("%s: %+v, want %+v", path, got, want)
			}
		}
	})
}

// DRYSTONE_CPU decides, and a path that this machine has not is an error.
func TestPathFromEnvironment(t *testing.T) {
	for _, path := range exact.Paths() {
		t.Setenv(exact.EnvPath, path)
		c, err := New(sparseSpec(64))
		if err != nil || c.vec != vectorFor(path) {
			t.Errorf("%s: %+v, %v", path, c, err)
		}
	}
	t.Setenv(exact.EnvPath, "abacus")
	if _, err := New(sparseSpec(64)); !errors.Is(err, exact.ErrPath) {
		t.Errorf("unknown path: %v", err)
	}
}

// The committed kernels are what the generator emits.
func TestGeneratedKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the generator")
	}
	dir := t.TempDir()
	asm, stubs := filepath.Join(dir, "k.s"), filepath.Join(dir, "k.go")
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	if out, err := exec.Command(goTool, "run", "./asm", "-out", asm, "-stubs", stubs, "-pkg", "delta").CombinedOutput(); err != nil {
		t.Fatalf("generator: %v\n%s", err, out)
	}
	for generated, committed := range map[string]string{asm: "kernels_amd64.s", stubs: "kernels_amd64.go"} {
		if afterFirstLine(t, generated) != afterFirstLine(t, committed) {
			t.Errorf("%s is not what the generator emits: run go generate", committed)
		}
	}
}

// afterFirstLine drops the line that names the command.
func afterFirstLine(t *testing.T, name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	return rest
}

// drawSpec draws any codec.
func drawSpec(t *rapid.T) protocol.CodecSpec {
	spec := topK(rapid.SampledFrom([]string{"dense", "sparse", "rice", "int8", "masked"}).Draw(t, "form"), 0, 0)
	if spec.Up == "sparse" || spec.Up == "rice" {
		spec.ValueBits = rapid.SampledFrom([]int{2, 4}).Draw(t, "bits")
	}
	if spec.Up != "dense" && spec.Up != "int8" {
		spec.TopK = rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, ChunkParams)).Draw(t, "k")
	}
	return spec
}

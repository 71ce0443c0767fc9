package delta

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"drystone/protocol"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write golden files")

func sparseSpec(k int) protocol.CodecSpec {
	return protocol.CodecSpec{Up: "sparse", TopK: k, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 16}
}

func topK(up string, k, bits int) protocol.CodecSpec {
	return protocol.CodecSpec{Up: up, TopK: k, ValueBits: bits, Decay: 0.95, ShardParams: 1 << 16}
}

// allSpecs has every form, with few, many and all entries.
var allSpecs = []protocol.CodecSpec{
	{Up: "dense", ShardParams: 1 << 16},
	sparseSpec(64), sparseSpec(4096), sparseSpec(5), topK("sparse", 64, 4), topK("sparse", 4096, 4),
	topK("rice", 64, 2), topK("rice", 1, 2), topK("rice", 4096, 2), topK("rice", 64, 4), topK("rice", 700, 4), topK("rice", 4096, 4),
	topK("int8", 0, 0),
	topK("masked", 64, 0), topK("masked", 1, 0), topK("masked", 4000, 0), topK("masked", 4096, 0),
}

func label(spec protocol.CodecSpec) string {
	if spec.ValueBits == 4 {
		return fmt.Sprintf("%s-%d-4bit", spec.Up, spec.TopK)
	}
	return fmt.Sprintf("%s-%d", spec.Up, spec.TopK)
}

// mustNew returns the codec of a spec, with a mask if it needs one.
func mustNew(t testing.TB, spec protocol.CodecSpec) Codec {
	t.Helper()
	c, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	return c.WithMask(9, 100)
}

func normals(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 7))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * 1e-3)
	}
	return x
}

// drawChunk draws values with ties, zeros, subnormals and all magnitudes that have an encoding.
func drawChunk(t *rapid.T, n int) []float32 {
	gen := rapid.OneOf(
		rapid.SampledFrom([]float32{0, float32(math.Copysign(0, -1)), 1e-3, -1e-3, 2e-3, 1e-40, -1e-40, 0x1p-126}),
		rapid.Float32Range(-1e-2, 1e-2),
		rapid.Float32Range(-1e4, 1e4),
	)
	return rapid.SliceOfN(gen, n, n).Draw(t, "values")
}

// The encoder is the definition of the package comment, step by step, here with sorting, arbitrary precision and plain
// bit strings.
func TestEncodeMatchesDefinition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec := drawSpec(t)
		if spec.Up == "dense" {
			return
		}
		n := rapid.OneOf(rapid.IntRange(1, 40), rapid.IntRange(100, 300)).Draw(t, "n")
		spec.TopK = min(spec.TopK, rapid.SampledFrom([]int{50, 400, ChunkParams}).Draw(t, "limit"))
		u, before := drawChunk(t, n), drawChunk(t, n)
		c, err := New(spec)
		if err != nil {
			t.Fatal(err)
		}
		seed, at := rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 1<<20).Draw(t, "chunk")
		c = c.WithMask(seed, at)
		after := make([]float32, n)
		got, err := c.EncodeChunk(nil, u, before, after)
		if err != nil {
			t.Fatal(err)
		}
		d := define(spec, u, before, defineMask(seed, at, min(spec.TopK, n), n))
		if want := d.bytes(spec, n); !bytes.Equal(got, want) {
			t.Fatalf("%s: chunk\n%x, want\n%x", label(spec), got, want)
		}
		for i := range after {
			if math.Float32bits(after[i]) != math.Float32bits(d.after[i]) {
				t.Fatalf("%s: after[%d] = %x, want %x", label(spec), i, after[i], d.after[i])
			}
		}
		payload, err := c.Encode(nil, u, slices.Clone(before))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(payload, n); err != nil {
			t.Fatal(err)
		}
		if back := reencode(c, spec, payload, n); !bytes.Equal(back, payload) {
			t.Fatalf("%s: re-encoded\n%x, want\n%x", label(spec), back, payload)
		}
	})
}

// Arithmetic of binary16 against IEEE 754: every value, and every midpoint goes to even.
func TestHalf(t *testing.T) {
	for b, v := range halves {
		if got := fromHalf(uint16(b)); float64(got) != v {
			t.Fatalf("fromHalf(%04x) = %v, want %v", b, got, v)
		}
		if got := toHalf(v); got != uint16(b) {
			t.Fatalf("toHalf(%v) = %04x, want %04x", v, got, b)
		}
		if b+1 == len(halves) {
			break
		}
		mid := (v + halves[b+1]) / 2
		if got, want := toHalf(mid), uint16(b+b%2); got != want {
			t.Fatalf("toHalf(midpoint %v) = %04x, want %04x", mid, got, want)
		}
		if got := toHalf(math.Nextafter(mid, 0)); got != uint16(b) {
			t.Fatalf("toHalf(below %v) = %04x, want %04x", mid, got, b)
		}
		if got := fromHalf(min(double(uint16(b)), maxHalf)); b > 0 && 2*v <= 65504 && float64(got) != 2*v {
			t.Fatalf("double(%v) = %v", v, got)
		}
	}
	for _, x := range []float64{65520, 1e5, 1e38, math.MaxFloat64} {
		if got := toHalf(x); got != infHalf {
			t.Fatalf("toHalf(%v) = %04x, want %04x", x, got, infHalf)
		}
	}
}

// With decay 1 nothing is ever lost: what was sent plus what is left is what came in, to rounding.
func TestFeedbackKeepsTheSum(t *testing.T) {
	for _, spec := range allSpecs[1:] {
		spec.Decay = 1
		c := mustNew(t, spec)
		const n, rounds = 10000, 20
		feedback, sent, in := make([]float32, n), make([]float32, n), make([]float64, n)
		for r := range rounds {
			c = c.WithMask(uint64(r), 0)
			u := normals(uint64(r), n)
			payload, err := c.Encode(nil, u, feedback)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.AddTo(sent, 1, payload); err != nil {
				t.Fatal(err)
			}
			for i, x := range u {
				in[i] += float64(x)
			}
		}
		for i := range in {
			if d := math.Abs(float64(sent[i]) + float64(feedback[i]) - in[i]); d > 1e-7 {
				t.Fatalf("%s: parameter %d: %v in, %v sent, %v left", label(spec), i, in[i], sent[i], feedback[i])
			}
		}
	}
}

// Over 20 chunks the scale of 4 refinements loses at most 2 per cent more than the best of a fine grid of scales, the
// classes being chosen as well as the scale allows.
func TestScaleIsNearlyBest(t *testing.T) {
	for name, draw := range map[string]func(*rand.Rand) float64{
		"normal":  (*rand.Rand).NormFloat64,
		"laplace": func(rng *rand.Rand) float64 { return rng.ExpFloat64() - rng.ExpFloat64() },
	} {
		for _, k := range []int{64, 256, 1024, 4096} {
			rng := rand.New(rand.NewPCG(5, 5))
			var got, best float64
			for range 20 {
				u := make([]float32, ChunkParams)
				for i := range u {
					u[i] = float32(draw(rng))
				}
				chosen := selectTop(nil, u, k)
				s := new(scratch)
				n := copy(s.at[:], chosen)
				for i, at := range chosen {
					s.value[i] = u[at]
				}
				e, err := fit(s, n, slices.Clone(u))
				if err != nil {
					t.Fatal(err)
				}
				got += lossAt(float64(fromHalf(e.scale)), chosen, u)
				least := math.Inf(1)
				for s := 0.2; s < 8; s *= 1.01 {
					least = min(least, lossAt(s, chosen, u))
				}
				best += least
			}
			if got > 1.02*best {
				t.Errorf("%s k=%d: squared error %v, best %v", name, k, got, best)
			}
		}
	}
}

// lossAt returns the squared error of the best classes at scale s.
func lossAt(s float64, chosen []uint16, u []float32) (sum float64) {
	for _, at := range chosen {
		x := magnitude(u[at])
		sum += min(x*x, (x-s)*(x-s), (x-2*s)*(x-2*s))
	}
	return sum
}

// Chunks stand alone: chunk i of a payload is the encoding of chunk i of the vector.
func TestChunksAreIndependent(t *testing.T) {
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		for _, n := range []int{1, 3, 4095, 4096, 4097, 10000} {
			u, feedback := normals(1, n), normals(2, n)
			before := slices.Clone(feedback)
			payload, err := c.Encode([]byte("kept"), u, feedback)
			if err != nil {
				t.Fatal(err)
			}
			payload = bytes.TrimPrefix(payload, []byte("kept"))
			if len(payload) > c.Size(n) || len(payload) < c.Size(n) && spec.Up != "rice" {
				t.Fatalf("%s n=%d: %d bytes, want %d", label(spec), n, len(payload), c.Size(n))
			}
			if err := c.Validate(payload, n); err != nil {
				t.Fatal(err)
			}
			for i := range Chunks(n) {
				lo, hi := i*ChunkParams, min((i+1)*ChunkParams, n)
				after := make([]float32, hi-lo)
				alone, err := c.WithMask(9, 100+i).EncodeChunk(nil, u[lo:hi], before[lo:hi], after)
				if err != nil {
					t.Fatal(err)
				}
				part, err := c.Chunk(payload, n, i)
				if err != nil || !bytes.Equal(part, alone) {
					t.Fatalf("%s n=%d chunk %d differs (%v)", label(spec), n, i, err)
				}
				if c.HasFeedback() && !slices.Equal(after, feedback[lo:hi]) {
					t.Fatalf("%s n=%d chunk %d: feedback differs", label(spec), n, i)
				}
			}
			var want float64
			for lo := 0; lo < n; lo += ChunkParams {
				values, sum := make([]float32, n), 0.0
				if err := c.AddTo(values, 1, payload); err != nil {
					t.Fatal(err)
				}
				for _, v := range values[lo:min(lo+ChunkParams, n)] {
					sum += float64(v) * float64(v)
				}
				want += sum
			}
			for _, i := range []int{-1, Chunks(n)} {
				if _, err := c.Chunk(payload, n, i); !errors.Is(err, ErrLength) {
					t.Fatalf("%s n=%d chunk %d: %v", label(spec), n, i, err)
				}
			}
			if got, err := c.SumSquares(payload, n); err != nil || got != want {
				t.Fatalf("%s n=%d: SumSquares = %v, want %v (%v)", label(spec), n, got, want, err)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		for _, bad := range []float32{inf, nan} {
			u := normals(3, 5000)
			u[4500] = bad
			dst := []byte("kept")
			if got, err := c.Encode(dst, u, make([]float32, 5000)); !errors.Is(err, ErrNotFinite) || string(got) != "kept" {
				t.Fatalf("%s %v: %v, %q", spec.Up, bad, err, got)
			}
		}
		for _, p := range [][]byte{nil, make([]byte, c.Size(5000)-1), make([]byte, c.Size(5000)+1)} {
			if err := c.Validate(p, 5000); !errors.Is(err, ErrLength) {
				t.Fatalf("%s: %d bytes: %v", spec.Up, len(p), err)
			}
			if err := c.AddTo(make([]float32, 5000), 1, p); !errors.Is(err, ErrLength) {
				t.Fatalf("%s: AddTo %d bytes: %v", spec.Up, len(p), err)
			}
		}
		if err := c.Validate(nil, -1); !errors.Is(err, ErrLength) {
			t.Fatal(err)
		}
	}
	c := mustNew(t, sparseSpec(3))
	if _, err := c.Encode(nil, []float32{1e30, 1}, make([]float32, 2)); !errors.Is(err, ErrRange) {
		t.Fatalf("too large a scale: %v", err)
	}
	if _, err := c.Encode(nil, []float32{math.MaxFloat32}, []float32{math.MaxFloat32}); !errors.Is(err, ErrNotFinite) {
		t.Fatalf("overflow in the accumulator: %v", err)
	}
	unseeded, err := New(topK("masked", 3, 0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unseeded.Encode(nil, []float32{1}, []float32{0}); !errors.Is(err, ErrMask) {
		t.Errorf("encoded without a mask: %v", err)
	}
	if err := unseeded.AddTo([]float32{1}, 1, []byte{0, 0, 0}); !errors.Is(err, ErrMask) {
		t.Errorf("decoded without a mask: %v", err)
	}
	dense := mustNew(t, protocol.CodecSpec{Up: "dense"})
	if err := dense.Validate([]byte{0, 0, 0x80, 0x7f}, 1); !errors.Is(err, ErrNotFinite) {
		t.Fatalf("infinity on the wire: %v", err)
	}
	for _, spec := range []protocol.CodecSpec{{}, {Up: "x"}, {Up: "sparse", TopK: 1, ValueBits: 3}, {Up: "sparse", TopK: 4097, ValueBits: 2},
		{Up: "sparse", ValueBits: 2}, {Up: "sparse", TopK: 1, ValueBits: 2, Decay: math.NaN()}, topK("rice", 64, 8), topK("rice", 0, 2),
		topK("masked", 4097, 0), {Up: "int8", Decay: 1.1}} {
		if _, err := New(spec); !errors.Is(err, ErrSpec) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

// Every change of a canonical chunk that still decodes to the same values is refused.
func TestOneEncoding(t *testing.T) {
	c := mustNew(t, sparseSpec(3))
	chunk := func(scale uint16, index [3]int, code [3]int, pad int) []byte {
		v := uint64(scale) | uint64(pad)<<58
		for i := range 3 {
			v |= uint64(index[i])<<(16+12*i) | uint64(code[i])<<(52+2*i)
		}
		b := make([]byte, 8)
		for i := range b {
			b[i] = byte(v >> (8 * i))
		}
		return b
	}
	for _, tt := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"three", chunk(0x3c00, [3]int{0, 5, 4095}, [3]int{0, 1, 3}, 0), true},
		{"one", chunk(0x3c00, [3]int{0, 0, 0}, [3]int{2, 0, 0}, 0), true},
		{"none", chunk(0, [3]int{}, [3]int{}, 0), true},
		{"scale without entry is +scale at 0", chunk(1, [3]int{}, [3]int{}, 0), true},
		{"all double", chunk(0x3c00, [3]int{1, 2, 3}, [3]int{1, 3, 1}, 0), false},
		{"infinite scale", chunk(0x7c00, [3]int{1, 2, 3}, [3]int{0, 3, 1}, 0), false},
		{"negative scale", chunk(0xbc00, [3]int{1, 2, 3}, [3]int{0, 3, 1}, 0), false},
		{"negative zero", chunk(0x8000, [3]int{}, [3]int{}, 0), false},
		{"zero scale with index", chunk(0, [3]int{1}, [3]int{}, 0), false},
		{"zero scale with code", chunk(0, [3]int{}, [3]int{2}, 0), false},
		{"order", chunk(0x3c00, [3]int{2, 1, 3}, [3]int{}, 0), false},
		{"twice", chunk(0x3c00, [3]int{2, 2, 3}, [3]int{}, 0), false},
		{"entry after unused", chunk(0x3c00, [3]int{2, 0, 3}, [3]int{}, 0), false},
		{"unused with code", chunk(0x3c00, [3]int{2, 0, 0}, [3]int{0, 0, 1}, 0), false},
		{"padding", chunk(0x3c00, [3]int{0, 5, 4095}, [3]int{0, 1, 3}, 1), false},
	} {
		err := c.Validate(tt.data, ChunkParams)
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.ok && !bytes.Equal(reencode(c, sparseSpec(3), tt.data, ChunkParams), tt.data) {
			t.Errorf("%s: does not re-encode to itself", tt.name)
		}
	}
	if err := c.Validate(chunk(0x3c00, [3]int{0, 5, 9}, [3]int{0, 1, 3}, 0), 9); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("index beyond a short chunk: %v", err)
	}
}

// No payload exceeds what the spec promises to the message limit.
func TestSizeWithinBound(t *testing.T) {
	for _, spec := range allSpecs {
		for k := min(spec.TopK, 1); k <= spec.TopK; k++ {
			spec := spec
			spec.TopK = k
			if got, bound := mustNew(t, spec).Size(spec.ShardParams), spec.PayloadBound(); got > bound {
				t.Errorf("%+v: %d bytes, bound %d", spec, got, bound)
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	u, feedback, acc := normals(1, 9000), make([]float32, 9000), make([]float32, 9000)
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		buf := make([]byte, 0, c.Size(len(u)))
		if got := testing.AllocsPerRun(10, func() {
			p, err := c.Encode(buf, u, feedback)
			if err != nil || c.Validate(p, len(u)) != nil || c.AddTo(acc, 0.5, p) != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", label(spec), got)
		}
	}
}

// The golden payloads fix the codec across versions and platforms.
func TestGolden(t *testing.T) {
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		// Inputs from integers only, so that no library function takes part.
		u, feedback := make([]float32, 4200), make([]float32, 4200)
		src := rand.NewChaCha8([32]byte{1})
		for i := range u {
			a, b := int32(src.Uint64()), int32(src.Uint64())
			u[i] = float32(a) * 0x1p-31 * float32(b) * 0x1p-38
			feedback[i] = float32(b>>3) * 0x1p-38
		}
		payload, err := c.Encode(nil, u, feedback)
		if err != nil {
			t.Fatal(err)
		}
		after, err := mustNew(t, protocol.CodecSpec{Up: "dense"}).Encode(nil, feedback, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Chunk(payload, len(u), 1)
		if err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("payload %v\nafter   %v\nchunk 1 %s\n", protocol.MerkleRoot(payload), protocol.MerkleRoot(after), hex.EncodeToString(first))
		name := filepath.Join("testdata", label(spec)+".golden")
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if text != string(want) {
			t.Errorf("%s: got\n%s", name, text)
		}
	}
}

// FuzzValidate checks that no payload makes the decoder panic and that a valid one is the only encoding of its values.
func FuzzValidate(f *testing.F) {
	for form := range byte(10) {
		for _, n := range []int{70, 4100} {
			p, err := mustNew(f, formOf(form, 20)).Encode(nil, normals(1, n), make([]float32, n))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(p, form, uint16(20), uint16(n))
		}
	}
	f.Add(make([]byte, 8), byte(1), uint16(3), uint16(4096))
	f.Fuzz(func(t *testing.T, payload []byte, form byte, k, n uint16) {
		spec := formOf(form, int(k))
		c, err := New(spec)
		if err != nil {
			t.Skip()
		}
		c = c.WithMask(uint64(k), int(n))
		params := int(n) % 9000
		valid := c.Validate(payload, params) == nil
		acc := make([]float32, params)
		added := c.AddTo(acc, 0.5, payload) == nil
		squares, err := c.SumSquares(payload, params)
		c.Chunk(payload, params, int(k)%3)
		if !valid {
			return
		}
		if !added || err != nil || math.IsNaN(squares) || math.IsInf(squares, 0) {
			t.Fatalf("valid, but AddTo %v, SumSquares %v %v", added, squares, err)
		}
		if back := reencode(c, spec, payload, params); !bytes.Equal(back, payload) {
			t.Fatalf("re-encoded\n%x, want\n%x", back, payload)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	for _, k := range []int{64, 256, 4096} {
		b.Run(fmt.Sprintf("k=%d", k), func(b *testing.B) {
			c := mustNew(b, sparseSpec(k))
			u, feedback := normals(1, 1<<20), make([]float32, 1<<20)
			buf := make([]byte, 0, c.Size(len(u)))
			b.SetBytes(int64(4 * len(u)))
			for b.Loop() {
				if _, err := c.Encode(buf, u, feedback); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(u))*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mparam/s")
		})
	}
}

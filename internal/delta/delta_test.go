package delta

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"drystone/protocol"

	"pgregory.net/rapid"
)

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

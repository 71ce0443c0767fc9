package delta

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/protocol"
)

// Chunk by chunk a Reader gives what AddTo adds, and no more.
func TestReader(t *testing.T) {
	specs := []protocol.CodecSpec{{Up: "dense"}, {Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.9}, {Up: "sparse", TopK: 4096, ValueBits: 4},
		{Up: "rice", TopK: 64, ValueBits: 2}, {Up: "rice", TopK: 300, ValueBits: 4}, {Up: "int8"}, {Up: "masked", TopK: 100}}
	rapid.Check(t, func(t *rapid.T) {
		c, err := New(rapid.SampledFrom(specs).Draw(t, "spec"))
		if err != nil {
			t.Fatal(err)
		}
		if c.form == masked {
			if _, err := c.Reader(nil, 0); !errors.Is(err, ErrMask) {
				t.Fatalf("without a mask: %v", err)
			}
		}
		c = c.WithMask(7, 3)
		u := make([]float32, rapid.SampledFrom([]int{1, 50, ChunkParams, 2*ChunkParams + 7}).Draw(t, "n"))
		seed := rapid.Uint64().Draw(t, "seed")
		for j := range u {
			if seed = seed*6364136223846793005 + 1442695040888963407; seed>>62 != 0 {
				u[j] = float32(int32(seed>>32)) * 0x1p-31
			}
		}
		payload, err := c.Encode(nil, u, make([]float32, len(u)))
		if err != nil {
			t.Fatal(err)
		}
		want, got := make([]float32, len(u)), make([]float32, len(u))
		if err := c.AddTo(want, 1, payload); err != nil {
			t.Fatal(err)
		}
		r, err := c.Reader(payload, len(u))
		if err != nil {
			t.Fatal(err)
		}
		for lo := 0; lo < len(u); lo += ChunkParams {
			at, values, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range values {
				place := i
				if at != nil {
					place = int(at[i])
				}
				got[lo+place] = v
			}
		}
		if !slices.Equal(got, want) {
			t.Fatal("other values than AddTo adds")
		}
		if _, values, err := r.Next(); len(values) != 0 || err != nil {
			t.Fatalf("%d values after the end, %v", len(values), err)
		}
		if _, err := c.Reader(payload[1:], len(u)); c.form != rice && !errors.Is(err, ErrLength) {
			t.Fatalf("a shorter payload: %v", err)
		}
	})
}

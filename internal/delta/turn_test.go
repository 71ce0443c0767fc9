package delta

import (
	"errors"
	"math"
	"slices"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// The package comment, "Turns": shard k is sent in the rounds r with k mod p = r mod p; else the payload has no bytes, decodes
// to zeros, and everything waits in the error feedback.
func TestTurns(t *testing.T) {
	spec := protocol.CodecSpec{Up: "rice", TopK: 64, ValueBits: 2, Decay: 0.9, ShardParams: 2 * ChunkParams, Stagger: 3}
	codec := mustNew(t, spec)
	n := ChunkParams + 17
	for round := range uint32(6) {
		for k := range 5 {
			c := codec.Round(protocol.Hash("run"), round).Shard(k)
			if turn := uint32(k)%3 == round%3; c.Silent() == turn {
				t.Fatalf("round %d, shard %d: silent %v", round, k, c.Silent())
			}
			if !c.Silent() {
				continue
			}
			u, before := normals(uint64(k), n), normals(9, n)
			before[3], u[3] = 0, 0x1p-140
			after := slices.Clone(before)
			payload, err := c.Encode([]byte{}, u, after)
			if err != nil || len(payload) != 0 || c.Size(n) != 0 {
				t.Fatalf("%d bytes, %v", len(payload), err)
			}
			for i := range u {
				want := exact.FMA32(0.9, before[i], u[i])
				if math.Abs(float64(want)) < 0x1p-126 {
					want = 0
				}
				if after[i] != want {
					t.Fatalf("value %d waits as %v, want %v", i, after[i], want)
				}
			}
			checkSilent(t, c, n)
		}
	}
	u := normals(1, n)
	u[5] = float32(math.NaN())
	if _, err := codec.Round(protocol.Hash("run"), 1).Shard(0).Encode(nil, u, make([]float32, n)); !errors.Is(err, ErrNotFinite) {
		t.Errorf("a NaN waits: %v", err)
	}
}

// checkSilent reads an empty payload in every way.
func checkSilent(t *testing.T, c Codec, n int) {
	t.Helper()
	empty, zeros := []byte{}, make([]float32, n)
	out := normals(4, n)
	if err := c.Decode(out, empty); err != nil || !slices.Equal(out, zeros) || c.Validate(empty, n) != nil {
		t.Fatalf("decodes to something, %v", err)
	}
	if err := c.Validate([]byte{0}, n); !errors.Is(err, ErrLength) {
		t.Fatalf("a byte too many: %v", err)
	}
	if x, err := c.SumSquares(empty, n); x != 0 || err != nil {
		t.Fatalf("sum of squares %v, %v", x, err)
	}
	if chunk, err := c.Chunk(empty, n, 1); len(chunk) != 0 || err != nil {
		t.Fatalf("chunk of %d bytes, %v", len(chunk), err)
	}
	products, err := c.Products(t.Context(), 2, [][]byte{empty, empty}, n)
	if err != nil || !slices.Equal(products, make([]float64, 4)) {
		t.Fatalf("inner products %v, %v", products, err)
	}
	if err := c.AddAll(t.Context(), 2, out, []float32{1, 2}, [][]byte{empty, empty}); err != nil || !slices.Equal(out, zeros) {
		t.Fatalf("a sum of nothing: %v", err)
	}
	r, err := c.Reader(empty, n)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{ChunkParams, n - ChunkParams, 0} {
		at, values, err := r.Next()
		if err != nil || at != nil || len(values) != want || slices.ContainsFunc(values, func(x float32) bool { return x != 0 }) {
			t.Fatalf("%d values at %v, %v", len(values), at, err)
		}
		if want > 0 {
			values[0] = 1 // its reader may write there
		}
	}
}

// A masked codec has the mask of the run, the round and the shard; a chunk alone encodes as within its shard.
func TestMaskOfTheRound(t *testing.T) {
	spec := protocol.CodecSpec{Up: "masked", TopK: 100, Decay: 1, ShardParams: 2 * ChunkParams}
	codec, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	u := normals(3, 2*ChunkParams)
	encode := func(run string, round uint32, k int) []byte {
		p, err := codec.Round(protocol.Hash(run), round).Shard(k).Encode(nil, u, make([]float32, len(u)))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	all := [][]byte{encode("a", 0, 0), encode("a", 1, 0), encode("b", 0, 0), encode("a", 0, 1)}
	for i := range all {
		for j := range i {
			if slices.Equal(all[i], all[j]) {
				t.Errorf("payloads %d and %d have one mask", i, j)
			}
		}
	}
	c := codec.Round(protocol.Hash("a"), 0)
	got, err := c.At(3).EncodeChunk(nil, u[ChunkParams:], nil, make([]float32, ChunkParams))
	want, err2 := c.Shard(1).Chunk(all[3], len(u), 1)
	if err != nil || err2 != nil || !slices.Equal(got, want) {
		t.Errorf("chunk 3 alone encodes to something else: %v, %v", err, err2)
	}
}

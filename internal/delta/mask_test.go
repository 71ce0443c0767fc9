package delta

import (
	"math"
	"slices"
	"testing"
)

// A mask has the right number of indices in the chunk, no two alike, follows the rule, and differs from chunk to chunk and
// from seed to seed; over many, every index comes equally often.
func TestMask(t *testing.T) {
	const n, chunks = 64, 6400
	c, s := mustNew(t, topK("masked", n, 0)), new(scratch)
	var times [ChunkParams]int
	for i := range chunks {
		for _, at := range c.WithMask(5, 0).mask(s, i, ChunkParams) {
			times[at]++
		}
	}
	var chi float64 // of 4095 degrees of freedom: mean 4095, deviation 90
	for _, n := range times {
		d := float64(n) - chunks*64.0/ChunkParams
		chi += d * d / (chunks * 64.0 / ChunkParams)
	}
	if chi < 3600 || chi > 4600 {
		t.Errorf("chi squared is %v, want about 4095", chi)
	}
	for _, params := range []int{1, 63, 64, 65, 100, ChunkParams} {
		for _, seed := range []uint64{0, 1, math.MaxUint64} {
			got := slices.Clone(c.WithMask(seed, 3).mask(s, 4, params))
			want := defineMask(seed, 7, min(n, params), params)
			if !slices.EqualFunc(got, want, func(a uint16, b int) bool { return int(a) == b }) {
				t.Errorf("seed %d, %d parameters: %d, want %d", seed, params, got, want)
			}
			if params > 2*n && slices.Equal(got, c.WithMask(seed, 3).mask(s, 5, params)) {
				t.Errorf("seed %d: chunks 7 and 8 have one mask", seed)
			}
		}
	}
}

package main

import (
	"math"
	"math/rand/v2"
)

// source draws inputs of kernels: the same ones on every processor, so no library function and no operation that a
// compiler may fuse takes part.
type source struct {
	*rand.Rand
	special bool // one element in 16 is a value on which fast paths tend to differ
}

func newSource(seed uint64) *source { return &source{Rand: rand.New(rand.NewPCG(seed, 3))} }

var negativeZero = math.Float32frombits(1 << 31)

var specials = []float32{0, negativeZero, 0x1p-126, -0x1p-126, 0x1p-149, -0x1p-149, 0x1.8p-127, 0x1p-75, -0x1p-75, 0x1p-140, 1, -1, 3e38, -3e38, 88.8, -104}

// normals returns n numbers of mean 0 and variance about 1, close to normally distributed: sums of twelve uniform ones.
func (s *source) normals(n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		sum := -12 * 65535 / 2
		for range 3 {
			u := s.Uint64()
			sum += int(u&0xffff) + int(u>>16&0xffff) + int(u>>32&0xffff) + int(u>>48)
		}
		x[i] = float32(sum) * 0x1.0a3d71p-16 // all 24 bits of the result are in use
		if s.special && s.IntN(16) == 0 {
			x[i] = specials[s.IntN(len(specials))]
		}
	}
	return x
}

// below returns n integers from 0 to bound-1.
func (s *source) below(n, bound int) []int32 {
	x := make([]int32, n)
	for i := range x {
		x[i] = s.Int32N(int32(bound))
	}
	return x
}

// unit returns a number above 0 and at most 1.
func (s *source) unit() float32 { return float32(s.Uint32N(1<<24)+1) * 0x1p-24 }

// size returns a size: mostly up to small, sometimes up to large.
func (s *source) size(small, large int) int {
	if s.IntN(6) == 0 {
		small = large
	}
	return 1 + s.IntN(small)
}

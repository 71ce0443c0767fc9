package exact

import "math"

// FMA32 returns x*y+z rounded once to float32, nearest even.
//
// The product of two float32 is exact in float64. Their sum with z is not, and
// rounding it first to 53 and then to 24 bits would differ from one rounding
// when the first lands exactly between two float32. Rounding the first to odd
// instead (Boldo and Melquiond, "Emulation of FMA and correctly rounded sums",
// 2008) makes the second correct, since 53 >= 24+2.
func FMA32(x, y, z float32) float32 {
	s := float64(float64(x)*float64(y)) + float64(z)
	b := math.Float64bits(s)
	// Only a float64 in the middle of two float32 can go wrong, and for results
	// that are subnormal in float32 the middle lies elsewhere: the plain
	// conversion serves all others.
	if b&(1<<29-1) != 1<<28 && b<<1 >= minNormal64<<1 {
		return float32(s)
	}
	return slowFMA32(x, y, z)
}

func slowFMA32(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	return float32(roundOdd(p, float64(z), float64(p)+float64(z)))
}

// minNormal64 holds the bits of 2^-126, the least normal float32, as a float64.
const minNormal64 = (1023 - 126) << 52

// roundOdd returns p+c rounded to odd, given s = p+c rounded to nearest even.
func roundOdd(p, c, s float64) float64 {
	if math.IsInf(s, 0) || math.IsNaN(s) {
		return s
	}
	// TwoSum (Knuth): p + c = s + e exactly.
	t := s - p
	e := (p - (s - t)) + (c - t)
	b := math.Float64bits(s)
	if e == 0 || b&1 == 1 {
		return s
	}
	// s is even and inexact: of its two neighbours, both odd, take the one on
	// the side of the exact sum.
	if (e > 0) == (s > 0) {
		return math.Float64frombits(b + 1)
	}
	return math.Float64frombits(b - 1)
}

package delta

import "math"

// maxHalf holds the bits of 65504, the largest finite IEEE 754 binary16.
const maxHalf = 0x7bff

// infHalf holds the bits of the infinite binary16: what toHalf and double return beyond maxHalf.
const infHalf = 0x7c00

// toHalf rounds x >= 0 to binary16, nearest even.
func toHalf(x float64) uint16 {
	if x < 0x1p-14 {
		return uint16(math.RoundToEven(x * 0x1p24)) // subnormal; 1024 carries into the least normal
	}
	f, e := math.Frexp(x) // x = f 2^e with f in [1/2, 1)
	if e > 16 {
		return infHalf
	}
	// The significand's implicit bit adds 1 to the exponent field, and so does a carry, up to infHalf.
	return uint16(math.RoundToEven(f*0x1p11)) + uint16(e+13)<<10
}

// double returns the bits of twice a finite binary16 above 0. It is exact, or infHalf.
func double(b uint16) uint16 {
	if b < 1<<10 {
		return b << 1
	}
	return min(b+1<<10, infHalf)
}

// fromHalf returns the value of a finite binary16 without sign. It is exact.
func fromHalf(b uint16) float32 {
	exp, frac := int(b>>10), float64(b&0x3ff)
	if exp == 0 {
		return float32(frac * 0x1p-24)
	}
	return float32(math.Ldexp(1024+frac, exp-25))
}

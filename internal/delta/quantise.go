package delta

import (
	"fmt"
	"math"
)

// refinements is the number of least-squares steps of the scale of 2-bit values.
const refinements = 4

// quantise sets s.level for the first n values of s, drops those of level 0 and leaves in after, at their indices, what
// the levels do not hold. Steps 3 and 4 of the package comment, and 5 for the chosen entries.
func (c Codec) quantise(s *scratch, n int, after []float32) (e entries, err error) {
	if c.bits == 2 {
		return fit(s, n, after)
	}
	scale := peak(c.vec.top(s.value[:n]), c.bits)
	if scale == 0 {
		return entries{}, nil
	}
	c.vec.levels(s.level[:], s.value[:n], unit(scale, c.bits), limit(c.bits))
	kept := 0
	for i, at := range s.at[:n] {
		after[at] = s.value[i]
		s.at[kept], s.level[kept] = at, s.level[i]
		if s.level[i] != 0 {
			kept++
		}
	}
	return entries{scale, s.at[:kept], s.level[:kept]}, nil
}

// peak returns the largest binary16 at most as large as the value of the highest level has to be to reach the magnitude
// with those bits: the magnitude for 4-bit values, 128/127 of it for 8-bit values. It is 0 if there is none.
func peak(magnitude uint32, bits int) uint16 {
	x := float64(math.Float32frombits(magnitude))
	if bits == 8 {
		x = x * 128 / 127
	}
	b := min(toHalf(x), maxHalf)
	if float64(fromHalf(b)) > x {
		b--
	}
	return b
}

// fit is quantise for 2-bit values, whose scale is fitted to all of them.
func fit(s *scratch, n int, after []float32) (entries, error) {
	if n == 0 {
		return entries{}, nil
	}
	values := s.value[:n]
	fitted := mean(values)
	for range refinements {
		fitted = refine(fitted, values)
	}
	scale := toHalf(fitted)
	if scale == 0 {
		return entries{}, nil
	}
	kept, least := drop(s, n, fromHalf(min(scale, maxHalf))/2)
	if kept == 0 {
		return entries{}, nil
	}
	// One entry must be low: doubling the scale turns high into low and decodes to the same value.
	for scale <= maxHalf && least >= highBits(fromHalf(scale)) {
		scale = double(scale)
	}
	if scale > maxHalf {
		return entries{}, fmt.Errorf("%w: mean magnitude %v", ErrRange, fitted)
	}
	low := fromHalf(scale)
	high := highBits(low)
	for i, at := range s.at[:kept] {
		b := math.Float32bits(s.value[i])
		sign := int32(b) >> 31                            // 0 or -1
		level := 2 + (int32(b&^signMask)-int32(high))>>31 // 1 or 2
		level = (level ^ sign) - sign
		s.level[i] = byte(level)
		after[at] = s.value[i] - float32(level)*low
	}
	return entries{scale, s.at[:kept], s.level[:kept]}, nil
}

// highBits returns the least magnitude bits that count as high for a scale: 3/2 of it, which is exact.
func highBits(scale float32) uint32 { return math.Float32bits(scale * 1.5) }

// drop keeps of the n chosen values those of magnitude from on, and returns their number and their least magnitude bits.
func drop(s *scratch, n int, from float32) (kept int, least uint32) {
	floor := math.Float32bits(from)
	least = math.MaxUint32
	for i, x := range s.value[:n] {
		s.at[kept], s.value[kept] = s.at[i], x
		if b := magnitudeBits(x); b >= floor {
			kept++
			least = min(least, b)
		}
	}
	return kept, least
}

func magnitude(x float32) float64 { return math.Abs(float64(x)) }

// mean returns the mean magnitude of the values; there is at least one.
func mean(values []float32) float64 {
	var sum float64
	for _, x := range values {
		sum += magnitude(x)
	}
	return sum / float64(len(values))
}

// refine returns the least-squares scale for the classes that s makes, or s if it drops everything. Bits of magnitudes
// are in the order of their values, so a difference of bits gives a mask, and no branch depends on a value.
func refine(s float64, values []float32) float64 {
	half, high := int64(math.Float64bits(s/2)), int64(math.Float64bits(s*1.5))
	var sumLow, sumHigh float64
	var lows, highs int64
	for _, x := range values {
		b := int64(math.Float64bits(magnitude(x)))
		isKept, isHigh := ^((b - half) >> 63), ^((b - high) >> 63) // 0 or -1
		isLow := isKept &^ isHigh
		sumLow += math.Float64frombits(uint64(b & isLow)) // adding +0 changes nothing
		sumHigh += math.Float64frombits(uint64(b & isHigh))
		lows -= isLow
		highs -= isHigh
	}
	if lows+highs == 0 {
		return s
	}
	return (sumLow + float64(2*sumHigh)) / float64(lows+4*highs)
}

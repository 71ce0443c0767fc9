package delta

import "math"

// Magnitude bits of a float32 are cut into 11 high, 10 middle and 10 low ones.
const (
	highShift = 20
	midShift  = 10
	digitMask = 1<<10 - 1
)

// selectTop appends to dst the indices of the n values of x that come first by (magnitude bits descending, index
// ascending), zeros excluded, in ascending order. len(x) is at most ChunkParams. It is a radix selection: three passes
// find the n-th magnitude, a fourth collects.
func selectTop(dst []uint16, x []float32, n int) []uint16 {
	threshold, ties := uint32(1), len(x)
	if n < len(x) {
		threshold, ties = nth(x, n)
	}
	if threshold == 0 { // fewer than n values are not zero
		threshold, ties = 1, len(x)
	}
	for i, v := range x {
		switch b := math.Float32bits(v) &^ signMask; {
		case b > threshold:
			dst = append(dst, uint16(i))
		case b == threshold && ties > 0:
			dst = append(dst, uint16(i))
			ties--
		}
	}
	return dst
}

// nth returns the magnitude bits of the n-th largest value of x, 1 <= n <= len(x), and how many of the n have them.
func nth(x []float32, n int) (threshold uint32, ties int) {
	var hist [1 << 11]uint16
	for _, v := range x {
		hist[math.Float32bits(v)&^signMask>>highShift]++
	}
	digit, n := descend(hist[:], n)
	threshold = digit << highShift
	for _, shift := range [...]uint{midShift, 0} {
		clear(hist[:digitMask+1])
		above := threshold >> (shift + 10)
		for _, v := range x {
			if b := math.Float32bits(v) &^ signMask; b>>(shift+10) == above {
				hist[b>>shift&digitMask]++
			}
		}
		digit, n = descend(hist[:digitMask+1], n)
		threshold |= digit << shift
	}
	return threshold, n
}

// descend returns the bucket of the n-th largest member and its rank within that bucket, from 1.
func descend(hist []uint16, n int) (digit uint32, rank int) {
	for d := len(hist) - 1; d > 0; d-- {
		if n <= int(hist[d]) {
			return uint32(d), n
		}
		n -= int(hist[d])
	}
	return 0, n
}

package delta

import "math"

// Magnitude bits of a float32 are cut into 11 high, 10 middle and 10 low ones.
const (
	highShift = 20
	midShift  = 10
	digitMask = 1<<10 - 1
)

// selectTop appends to dst the indices of the n values of x that come first by (magnitude bits descending, index
// ascending), zeros excluded, in ascending order. len(x) is at most ChunkParams. Two passes over x leave the candidates
// whose highest digit is large enough, usually few more than n; a radix selection over these finds the n-th.
func selectTop(dst []uint16, x []float32, n int) []uint16 {
	floor := uint32(1)
	if n < len(x) {
		floor = max(floor, bucketFloor(x, n))
	}
	for i, v := range x {
		if math.Float32bits(v)&^signMask >= floor {
			dst = append(dst, uint16(i))
		}
	}
	if len(dst) <= n {
		return dst
	}
	threshold, ties := nth(x, dst, n)
	kept := dst[:0]
	for _, i := range dst {
		switch b := math.Float32bits(x[i]) &^ signMask; {
		case b > threshold:
			kept = append(kept, i)
		case b == threshold && ties > 0:
			kept = append(kept, i)
			ties--
		}
	}
	return kept
}

// bucketFloor returns the least magnitude bits that share their highest digit with the n-th largest value of x.
func bucketFloor(x []float32, n int) uint32 {
	var hist [1 << 11]uint16
	for _, v := range x {
		hist[math.Float32bits(v)&^signMask>>highShift]++
	}
	digit, _ := descend(hist[:], n)
	return digit << highShift
}

// nth returns the magnitude bits of the n-th largest of the candidates of x, 1 <= n <= len(candidates), and how many of
// the n largest have them. It fixes one digit after the other.
func nth(x []float32, candidates []uint16, n int) (threshold uint32, ties int) {
	var hist [1 << 11]uint16
	mask := uint32(0) // covers the digits fixed so far
	for _, d := range [...]struct{ shift, mask uint32 }{{highShift, 1<<11 - 1}, {midShift, digitMask}, {0, digitMask}} {
		clear(hist[:])
		for _, i := range candidates {
			if b := math.Float32bits(x[i]) &^ signMask; b&mask == threshold {
				hist[b>>d.shift&d.mask]++
			}
		}
		var digit uint32
		digit, n = descend(hist[:], n)
		threshold |= digit << d.shift
		mask |= d.mask << d.shift
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

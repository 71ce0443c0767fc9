package delta

import "drystone/internal/exact"

// entries are the decoded form of a chunk: value i is level[i] * unit(scale), at index at[i]. at is ascending. The memory
// is that of a scratch.
type entries struct {
	scale uint16 // binary16, without sign
	at    []uint16
	level []byte // two's complement, never zero in a sparse chunk
}

// unit is what one level is worth in values of that many bits: the scale, an 8th or a 128th of it. It is exact.
func unit(scale uint16, bits int) float32 {
	switch bits {
	case 2:
		return fromHalf(scale)
	case 4:
		return fromHalf(scale) * 0x1p-3
	}
	return fromHalf(scale) * 0x1p-7
}

// isCanonical reports whether the levels are those that belong to the scale: one of them must be the lowest of 2-bit
// values, or the highest of wider ones, else another scale would give the same values. No entry may have a zero scale.
func (e *entries) isCanonical(bits int) bool {
	if e.scale == 0 {
		return len(e.level) == 0
	}
	anchor := byte(1)
	if bits > 2 {
		anchor = byte(limit(bits))
	}
	for _, l := range e.level {
		if l == anchor || l == -anchor {
			return true
		}
	}
	return false
}

// limit is the highest level of values of that many bits.
func limit(bits int) int8 {
	switch bits {
	case 2:
		return 2
	case 4:
		return 8
	}
	return 127
}

func (e *entries) addTo(acc []float32, w float32, bits int) {
	u := unit(e.scale, bits)
	for i, at := range e.at {
		acc[at] = exact.FMA32(w, float32(int8(e.level[i]))*u, acc[at])
	}
}

// squares returns the sum of the squares of the values. Levels have 7 bits and units 11, so that up to 4096 squares add
// up without rounding, in any order.
func squares(level []byte, unit float32) float64 {
	var sum int64
	for _, l := range level {
		sum += int64(int8(l)) * int64(int8(l))
	}
	return float64(sum) * float64(float64(unit)*float64(unit))
}

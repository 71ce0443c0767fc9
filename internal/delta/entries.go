package delta

import "fmt"

// entries are the decoded form of a chunk: value i is level[i] * unit(scale), at index at[i], or at i if at is nil. The
// memory is that of a scratch or of the payload.
type entries struct {
	scale uint16   // binary16, without sign
	at    []uint16 // ascending
	level []byte   // two's complement, never zero in a sparse chunk
}

// errLevels says that another scale would give the same values, or that there is a level that no encoder writes.
var errLevels = fmt.Errorf("%w: levels do not fit the scale", ErrNotCanonical)

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

// isCanonical reports whether the levels of a sparse chunk belong to the scale: one of them must be the lowest of 2-bit
// values, or the highest of wider ones. No entry may have a zero scale.
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

// addTo sets acc = fma(w, value, acc) at the entries.
func (e *entries) addTo(s *scratch, v *vector, acc []float32, w, unit float32) {
	if e.at == nil {
		v.addLevels(acc[:len(e.level)], e.level, unit, w)
		return
	}
	sums := s.value[:len(e.at)]
	for i, at := range e.at {
		sums[i] = acc[at]
	}
	v.addLevels(sums, e.level, unit, w)
	for i, at := range e.at {
		acc[at] = sums[i]
	}
}

// squares returns the sum of the squares of the values. Levels have 7 bits and units 11, so that up to 4096 squares add
// up without rounding, in any order.
func (e *entries) squares(v *vector, unit float32) float64 {
	return float64(v.levelSquares(e.level)) * float64(float64(unit)*float64(unit))
}

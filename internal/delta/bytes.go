package delta

import (
	"encoding/binary"
	"fmt"
)

// levelAll quantises all of after, whose largest magnitude bits are top, to 8-bit levels, and leaves the rest there.
func (c Codec) levelAll(s *scratch, after []float32, top uint32) entries {
	e := entries{scale: peak(top, c.bits), level: s.level[:len(after)]}
	if e.scale == 0 {
		clear(e.level)
		return e
	}
	c.vec.levels(e.level, after, unit(e.scale, c.bits), limit(c.bits))
	return e
}

// levelMask does so for the values of after in the mask of chunk i.
func (c Codec) levelMask(s *scratch, i int, after []float32) entries {
	mask := c.mask(s, i, len(after))
	values := s.value[:len(mask)]
	for j, at := range mask {
		values[j] = after[at]
	}
	e := c.levelAll(s, values, c.vec.top(values))
	for j, at := range mask {
		after[at] = values[j]
	}
	return e
}

// packBytes writes the scale and one byte per level into s.bits and returns the length.
func packBytes(s *scratch, e entries) int {
	binary.LittleEndian.PutUint16(s.bits[:], e.scale)
	return 2 + copy(s.bits[2:], e.level)
}

// unpackBytes decodes and checks such a chunk. The entries share its memory and have no indices.
func (c Codec) unpackBytes(chunk []byte) (entries, error) {
	e := entries{scale: binary.LittleEndian.Uint16(chunk), level: chunk[2:]}
	if e.scale > maxHalf {
		return entries{}, fmt.Errorf("%w: scale %04x", ErrNotCanonical, e.scale)
	}
	want := uint32(limit(c.bits)) // one level at least; -128 is none
	if e.scale == 0 {
		want = 0
	}
	if c.vec.levelTop(e.level) != want {
		return entries{}, errLevels
	}
	return e, nil
}

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
func unpackBytes(chunk []byte) (entries, error) {
	e := entries{scale: binary.LittleEndian.Uint16(chunk), level: chunk[2:]}
	if e.scale > maxHalf {
		return entries{}, fmt.Errorf("%w: scale %04x", ErrNotCanonical, e.scale)
	}
	var used, wrong, peaks uint64
	levels := e.level
	for ; len(levels) >= 8; levels = levels[8:] {
		l := binary.LittleEndian.Uint64(levels)
		used |= l
		wrong |= zeroBytes(l ^ 0x80*each) // -128 is no level
		peaks |= zeroBytes(l^127*each) | zeroBytes(l^0x81*each)
	}
	for _, l := range levels {
		used |= uint64(l)
		wrong |= zeroBytes(uint64(l)*each ^ 0x80*each)
		peaks |= zeroBytes(uint64(l)*each^127*each) | zeroBytes(uint64(l)*each^0x81*each)
	}
	if wrong != 0 || e.scale == 0 && used != 0 || e.scale != 0 && peaks == 0 {
		return entries{}, errLevels
	}
	return e, nil
}

// each has a one in each of its bytes.
const each = 0x0101010101010101

// zeroBytes is zero exactly if no byte of x is.
func zeroBytes(x uint64) uint64 { return (x - each) &^ x & (0x80 * each) }

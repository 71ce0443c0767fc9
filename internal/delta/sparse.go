package delta

import (
	"encoding/binary"
	"fmt"
)

// signMask is the sign bit of a float32, minNormal the bits of 2^-126.
const (
	signMask  = 1 << 31
	minNormal = 0x00800000
)

// packSparse writes a chunk of n entries, those of e first, into s.bits and returns its length.
func (c Codec) packSparse(s *scratch, e entries, n int) int {
	binary.LittleEndian.PutUint16(s.bits[:], e.scale)
	w := bitWriter{bytes: s.bits[2:]}
	for _, at := range e.at {
		w.put(uint64(at), 12)
	}
	w.zeros(12 * (n - len(e.at)))
	c.putCodes(&w, e.level)
	w.zeros(c.bits * (n - len(e.level)))
	return 2 + w.end()
}

// putCodes writes the codes of levels: the magnitude less 1, below the sign.
func (c Codec) putCodes(w *bitWriter, levels []byte) {
	for _, l := range levels {
		sign := int8(l) >> 7 // 0 or -1
		magnitude := (int8(l) ^ sign) - sign
		w.put(uint64(magnitude-1)|uint64(-sign)<<(c.bits-1), uint(c.bits))
	}
}

// takeCodes reads that many codes into s.level.
func (c Codec) takeCodes(s *scratch, r *bitReader, n int) []byte {
	levels := s.level[:n]
	width := uint(c.bits)
	for i := range levels {
		code := int8(r.take(width))
		sign := -(code >> (width - 1)) // 0 or -1
		levels[i] = byte((code&(1<<(width-1)-1) + 1 ^ sign) - sign)
	}
	return levels
}

// unpackSparse decodes a chunk, which has the width for that many parameters, and checks that it is canonical.
func (c Codec) unpackSparse(s *scratch, chunk []byte, params int) (entries, error) {
	n := min(c.topK, params)
	r := s.read(chunk)
	scale := uint16(r.take(16))
	if scale > maxHalf {
		return entries{}, fmt.Errorf("%w: scale %04x", ErrNotCanonical, scale)
	}
	used, last := 0, -1
	for ; used < n && scale != 0; used++ {
		at := int(r.take(12))
		if used > 0 && at == 0 {
			r.at -= 12
			break
		}
		if at <= last || at >= params {
			return entries{}, fmt.Errorf("%w: index %d after %d in a chunk of %d", ErrNotCanonical, at, last, params)
		}
		s.at[used], last = uint16(at), at
	}
	if !r.onlyZeros(16 + 12*n) {
		return entries{}, fmt.Errorf("%w: unused entry has an index", ErrNotCanonical)
	}
	e := entries{scale, s.at[:used], c.takeCodes(s, &r, used)}
	if !r.onlyZeros(8 * len(chunk)) {
		return entries{}, fmt.Errorf("%w: unused entry has a code, or padding is not zero", ErrNotCanonical)
	}
	if !e.isCanonical(c.bits) {
		return entries{}, errLevels
	}
	return e, nil
}

// read returns a reader of a chunk, from a copy with zeros behind it.
func (s *scratch) read(chunk []byte) bitReader {
	n := copy(s.bits[:maxChunk], chunk)
	clear(s.bits[n:][:slack])
	return bitReader{bytes: s.bits[:]}
}

// onlyZeros reads up to a position and reports whether all bits were zero.
func (r *bitReader) onlyZeros(end int) bool {
	var seen uint64
	for r.at < end {
		seen |= r.take(uint(min(end-r.at, 32)))
	}
	return seen == 0
}

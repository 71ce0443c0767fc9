package delta

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// partial marks a Rice chunk that has fewer than its n entries in use; it is where binary16 has its sign.
const partial = 1 << 15

// riceBits returns the Rice parameter for n entries in a chunk of that many parameters: the largest b with
// 16 n 2^b <= 11 params, 0 if there is none. It is the best one for the gaps of entries that lie at random, within a part
// in a hundred (a share of log 2, nearly 11/16, of the mean gap; Golomb 1966, Rice 1979).
func riceBits(n, params int) uint {
	return uint(max(bits.Len(uint(11*params/(16*n))), 1) - 1)
}

// countBits is the width of a number of entries below n.
func countBits(n int) uint { return uint(bits.Len(uint(n - 1))) }

// riceWidth returns the largest number of bytes of a chunk of n parameters, 1 to ChunkParams.
func (c Codec) riceWidth(params int) int {
	n := min(c.topK, params)
	b := riceBits(n, params)
	return 2 + (int(countBits(n))+n*(1+int(b)+c.bits)+(params-1)>>b+7)/8
}

// packRice writes a chunk of n entries, of which e are in use, into s.bits and returns its length.
func (c Codec) packRice(s *scratch, e entries, n, params int) int {
	if len(e.at) == 0 {
		return 0
	}
	w := bitWriter{bytes: s.bits[2:]}
	scale := e.scale
	if len(e.at) < n {
		scale |= partial
		w.put(uint64(len(e.at)), countBits(n))
	}
	binary.LittleEndian.PutUint16(s.bits[:], scale)
	c.putCodes(&w, e.level)
	b, next := riceBits(n, params), 0
	for _, at := range e.at {
		gap := int(at) - next
		next = int(at) + 1
		w.zeros(gap >> b)
		w.put(1|uint64(gap&(1<<b-1))<<1, 1+b)
	}
	return 2 + w.end()
}

// unpackRice decodes a chunk of that many parameters and checks that it is canonical.
func (c Codec) unpackRice(s *scratch, chunk []byte, params int) (entries, error) {
	if len(chunk) == 0 {
		return entries{}, nil
	}
	if len(chunk) < 3 || len(chunk) > c.riceWidth(params) {
		return entries{}, fmt.Errorf("%w: %d bytes, want 0 or 3 to %d", ErrNotCanonical, len(chunk), c.riceWidth(params))
	}
	n := min(c.topK, params)
	r := s.read(chunk)
	scale, used := uint16(r.take(16)), n
	if scale&partial != 0 {
		scale &^= partial
		used = int(r.take(countBits(n)))
	}
	if scale == 0 || scale > maxHalf || used == 0 || used > n || used == n && r.at > 16 {
		return entries{}, fmt.Errorf("%w: scale %04x and %d of %d entries", ErrNotCanonical, scale, used, n)
	}
	end := 8 * len(chunk)
	if r.at+used*(c.bits+1) > end {
		return entries{}, fmt.Errorf("%w: %d entries in %d bytes", ErrNotCanonical, used, len(chunk))
	}
	e := entries{scale, s.at[:used], c.takeCodes(s, &r, used)}
	b, next := riceBits(n, params), 0
	for i := range e.at {
		at := next + r.unary()<<b + int(r.take(b))
		if r.at > end || at >= params {
			return entries{}, fmt.Errorf("%w: entry %d lies at %d of %d, bit %d of %d", ErrNotCanonical, i, at, params, r.at, end)
		}
		e.at[i], next = uint16(at), at+1
	}
	if end-r.at > 7 || !r.onlyZeros(end) {
		return entries{}, fmt.Errorf("%w: padding is not zero, or too long", ErrNotCanonical)
	}
	if !e.isCanonical(c.bits) {
		return entries{}, errLevels
	}
	return e, nil
}

// unary reads zeros and the one behind them and returns the number of zeros, less than 57 of them or 57.
func (r *bitReader) unary() int {
	n := 0
	for {
		z := min(bits.TrailingZeros64(r.peek()), 57)
		n += z
		r.at += z
		if z < 57 {
			r.at++
			return n
		}
		if r.at > 8*(len(r.bytes)-slack) {
			return n // beyond every chunk
		}
	}
}

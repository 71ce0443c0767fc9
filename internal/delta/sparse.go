package delta

import (
	"encoding/binary"
	"fmt"
	"math"

	"drystone/internal/exact"
)

// signMask is the sign bit of a float32, minNormal the bits of 2^-126.
const (
	signMask  = 1 << 31
	minNormal = 0x00800000
)

// Codes of a value: bit 0 doubles the magnitude, bit 1 is the sign.
const (
	codeHigh     = 1
	codeNegative = 2
)

// appendSparse encodes one chunk. The lengths have been checked.
func (c Codec) appendSparse(dst []byte, u, before, after []float32) ([]byte, error) {
	if err := accumulate(after, u, before, c.decay); err != nil {
		return dst, err
	}
	n := min(c.topK, len(u))
	var scratch [ChunkParams]uint16
	chosen := selectTop(scratch[:0], after, n)
	scale, kept, err := quantise(chosen, after)
	if err != nil {
		return dst, err
	}
	start := len(dst)
	dst = extend(dst, c.width(len(u)))
	writer := sparseChunk{bytes: dst[start:], entries: n, params: len(u)}
	writer.write(scale, kept, after)
	flush(after)
	return dst, nil
}

// accumulate sets after = fma(decay, before, u); before may be nil for zeros, or after itself.
func accumulate(after, u, before []float32, decay float32) error {
	if before == nil {
		copy(after, u)
	} else {
		for i, x := range u {
			after[i] = exact.FMA32(decay, before[i], x)
		}
	}
	for i, x := range after {
		if math.Float32bits(x)&expMask == expMask {
			return fmt.Errorf("%w: %v at %d, after error feedback", ErrNotFinite, x, i)
		}
	}
	return nil
}

// flush replaces magnitudes below 2^-126 by +0, so that no error feedback decays into subnormals for ever.
func flush(x []float32) {
	for i, v := range x {
		if math.Float32bits(v)&^signMask < minNormal {
			x[i] = 0
		}
	}
}

// extend lengthens dst by n zero bytes.
func extend(dst []byte, n int) []byte {
	if cap(dst)-len(dst) < n {
		dst = append(dst, make([]byte, n)...)
		return dst
	}
	dst = dst[:len(dst)+n]
	clear(dst[len(dst)-n:])
	return dst
}

// sparseChunk is one chunk on the wire: bytes has the width for that many entries and params.
type sparseChunk struct {
	bytes   []byte
	entries int
	params  int
}

func (c Codec) sparse(chunk []byte, params int) sparseChunk {
	return sparseChunk{chunk, min(c.topK, params), params}
}

// write stores the entries at the kept indices of acc and subtracts their decoded values from acc.
func (s sparseChunk) write(scale uint16, kept []uint16, acc []float32) {
	binary.LittleEndian.PutUint16(s.bytes, scale)
	body := s.bytes[2:]
	low := fromHalf(scale)
	for i, at := range kept {
		x := acc[at]
		value, code := low, uint16(0)
		if isHigh(magnitude(x), float64(low)) {
			value, code = 2*low, codeHigh
		}
		if x < 0 {
			value, code = -value, code|codeNegative
		}
		acc[at] = x - value
		putBits(body, 12*i, at)
		putBits(body, 12*s.entries+2*i, code)
	}
}

// putBits sets bits from bit position pos on; the field spans at most two bytes and was zero.
func putBits(b []byte, pos int, v uint16) {
	w := v << (pos & 7)
	b[pos/8] |= byte(w)
	if w > 0xff {
		b[pos/8+1] |= byte(w >> 8)
	}
}

func (s sparseChunk) scale() uint16 { return binary.LittleEndian.Uint16(s.bytes) }

func (s sparseChunk) index(i int) int {
	b := s.bytes[2+3*(i/2):]
	if i&1 == 0 {
		return int(b[0]) | int(b[1]&0xf)<<8
	}
	return int(b[1]>>4) | int(b[2])<<4
}

func (s sparseChunk) code(i int) byte {
	pos := 12*s.entries + 2*i
	return s.bytes[2+pos/8] >> (pos & 7) & 3
}

// used returns the number of entries in use.
func (s sparseChunk) used() int {
	if s.scale() == 0 {
		return 0
	}
	for i := 1; i < s.entries; i++ {
		if s.index(i) == 0 {
			return i
		}
	}
	return s.entries
}

// check reports whether the chunk is canonical.
func (s sparseChunk) check() error {
	if s.scale() > maxHalf {
		return fmt.Errorf("%w: scale %04x", ErrNotCanonical, s.scale())
	}
	used, last, low := s.used(), -1, s.scale() == 0
	for i := range used {
		at := s.index(i)
		if at <= last || at >= s.params {
			return fmt.Errorf("%w: index %d after %d in a chunk of %d", ErrNotCanonical, at, last, s.params)
		}
		last = at
		low = low || s.code(i)&codeHigh == 0
	}
	if !low {
		return fmt.Errorf("%w: no value of single scale", ErrNotCanonical)
	}
	for i := used; i < s.entries; i++ {
		if s.index(i) != 0 || s.code(i) != 0 {
			return fmt.Errorf("%w: unused entry %d is not zero", ErrNotCanonical, i)
		}
	}
	if rest := 14 * s.entries & 7; rest != 0 && s.bytes[len(s.bytes)-1]>>rest != 0 {
		return fmt.Errorf("%w: padding is not zero", ErrNotCanonical)
	}
	return nil
}

// values are what the four codes stand for.
func (s sparseChunk) values() [4]float32 {
	low := fromHalf(s.scale() & 0x7fff)
	return [4]float32{low, 2 * low, -low, -2 * low}
}

func (s sparseChunk) addTo(acc []float32, w float32) {
	values := s.values()
	for i := range s.used() {
		// The index of an unvalidated payload may lie outside a short chunk.
		if at := s.index(i); at < len(acc) {
			acc[at] = exact.FMA32(w, values[s.code(i)], acc[at])
		}
	}
}

func (s sparseChunk) squares() float64 {
	values := s.values()
	var sum float64
	for i := range s.used() {
		v := float64(values[s.code(i)])
		sum += float64(v * v)
	}
	return sum
}

package delta

import "encoding/binary"

// bitWriter writes fields of bits, the least significant first.
type bitWriter struct {
	bytes []byte // with room for 4 bytes more than are written
	at    int    // full bytes
	hold  uint64 // bits that fill no 4 bytes yet
	n     uint
}

// put writes the low width bits of v, which has no others; width is at most 32.
func (w *bitWriter) put(v uint64, width uint) {
	w.hold |= v << w.n
	w.n += width
	if w.n >= 32 {
		binary.LittleEndian.PutUint32(w.bytes[w.at:], uint32(w.hold))
		w.at += 4
		w.hold >>= 32
		w.n -= 32
	}
}

// zeros writes that many zero bits.
func (w *bitWriter) zeros(n int) {
	for ; n > 32; n -= 32 {
		w.put(0, 32)
	}
	w.put(0, uint(n))
}

// end writes what is held and returns the number of bytes, the last one filled up with zeros.
func (w *bitWriter) end() int {
	binary.LittleEndian.PutUint32(w.bytes[w.at:], uint32(w.hold))
	return w.at + int(w.n+7)/8
}

// bitReader reads what a bitWriter wrote. Reading past the end gives zeros as long as the bytes do.
type bitReader struct {
	bytes []byte // with 8 bytes behind the last bit that is read
	at    int    // in bits
}

// peek returns the next bits, 57 or more.
func (r *bitReader) peek() uint64 {
	return binary.LittleEndian.Uint64(r.bytes[r.at/8:]) >> (r.at & 7)
}

// take reads width bits, at most 57.
func (r *bitReader) take(width uint) uint64 {
	v := r.peek() & (1<<width - 1)
	r.at += int(width)
	return v
}

package delta

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Size returns the length in bytes of a payload of n parameters: of every one, or of the longest for "rice".
func (c Codec) Size(n int) int {
	full, rest := n/ChunkParams, n%ChunkParams
	size := full*(c.lengthBytes+c.width(ChunkParams)) + c.width(rest)
	if rest > 0 {
		size += c.lengthBytes
	}
	return size
}

// width returns the bytes of a chunk of n parameters, 0 to ChunkParams, the largest number for "rice".
func (c Codec) width(n int) int {
	if n == 0 {
		return 0
	}
	switch c.form {
	case silent:
		return 0
	case dense:
		return 4 * n
	case sparse:
		return 2 + ((12+c.bits)*min(c.topK, n)+7)/8
	case rice:
		return c.riceWidth(n)
	case masked:
		return 2 + min(c.topK, n)
	default:
		return 2 + n
	}
}

// Chunk returns the bytes of chunk i of a payload of n parameters, a part of payload. The error wraps ErrLength.
func (c Codec) Chunk(payload []byte, n, i int) ([]byte, error) {
	if i < 0 || i >= Chunks(n) {
		return nil, fmt.Errorf("%w: chunk %d of %d", ErrLength, i, Chunks(n))
	}
	var found []byte
	err := c.cut(payload, n, func(j, _ int, chunk []byte) error {
		if j == i {
			found = chunk
		}
		return nil
	})
	return found, err
}

// cut calls visit with the index, the parameters and the bytes of every chunk. A fixed width that does not fit is an
// error before the first visit, a table of lengths that does not fit may be one after some.
func (c Codec) cut(payload []byte, n int, visit func(i, params int, chunk []byte) error) error {
	table := c.lengthBytes * Chunks(max(n, 0))
	if n < 0 || n > math.MaxInt/8 || len(payload) < table || c.lengthBytes == 0 && len(payload) != c.Size(n) {
		return fmt.Errorf("%w: payload of %d bytes does not encode %d parameters", ErrLength, len(payload), n)
	}
	lengths, rest := payload[:table], payload[table:]
	for i := 0; n > 0; i++ {
		params := min(ChunkParams, n)
		width := c.lengthAt(lengths, i, params)
		if width > len(rest) {
			return fmt.Errorf("%w: chunk %d has %d bytes, %d are left", ErrLength, i, width, len(rest))
		}
		if err := visit(i, params, rest[:width:width]); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		rest, n = rest[width:], n-params
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last chunk", ErrLength, len(rest))
	}
	return nil
}

// lengthAt returns the length of chunk i, which has that many parameters.
func (c Codec) lengthAt(table []byte, i, params int) int {
	switch c.lengthBytes {
	case 0:
		return c.width(params)
	case 1:
		return int(table[i])
	}
	return int(binary.LittleEndian.Uint16(table[2*i:]))
}

// putLength enters the length of chunk i in the table.
func (c Codec) putLength(table []byte, i, length int) {
	switch c.lengthBytes {
	case 1:
		table[i] = byte(length)
	case 2:
		binary.LittleEndian.PutUint16(table[2*i:], uint16(length))
	}
}

package delta

import (
	"fmt"
	"math"
)

// Size returns the length in bytes of every payload of n parameters.
func (c Codec) Size(n int) int {
	full, rest := n/ChunkParams, n%ChunkParams
	return full*c.width(ChunkParams) + c.width(rest)
}

// width returns the bytes of a chunk of n parameters, 0 to ChunkParams.
func (c Codec) width(n int) int {
	switch {
	case n == 0:
		return 0
	case c.form == dense:
		return 4 * n
	}
	return 2 + ((12+c.bits)*min(c.topK, n)+7)/8
}

// Chunk returns the bytes of chunk i of a payload of n parameters, a part of payload. The error wraps ErrLength.
func (c Codec) Chunk(payload []byte, n, i int) ([]byte, error) {
	if n < 0 || len(payload) != c.Size(n) {
		return nil, fmt.Errorf("%w: payload of %d bytes for %d parameters, want %d", ErrLength, len(payload), n, c.Size(max(n, 0)))
	}
	if i < 0 || i >= Chunks(n) {
		return nil, fmt.Errorf("%w: chunk %d of %d", ErrLength, i, Chunks(n))
	}
	return payload[i*c.width(ChunkParams):][:c.width(min(ChunkParams, n-i*ChunkParams))], nil
}

// each calls visit with the index, the parameters and the bytes of every chunk, once the length is known to be right.
func (c Codec) each(payload []byte, n int, visit func(s *scratch, i, params int, chunk []byte) error) error {
	if n < 0 || n > math.MaxInt/4 || len(payload) != c.Size(n) {
		return fmt.Errorf("%w: payload of %d bytes does not encode %d parameters", ErrLength, len(payload), n)
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for i := 0; n > 0; i++ {
		params := min(ChunkParams, n)
		w := c.width(params)
		if err := visit(s, i, params, payload[:w]); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		payload, n = payload[w:], n-params
	}
	return nil
}

package delta

import (
	"fmt"
	"math"
)

// Reader decodes the chunks of one payload in order, so that many payloads can be looked at side by side.
type Reader struct {
	cursor
	codec  Codec
	s      scratch
	values [ChunkParams]float32
}

// Reader returns a reader of a payload of n parameters, which must have passed Validate. The error wraps ErrLength, or is
// ErrMask for a masked codec without a mask.
func (c Codec) Reader(payload []byte, n int) (*Reader, error) {
	at, err := c.cursor(payload, n)
	if err != nil {
		return nil, err
	}
	return &Reader{cursor: at, codec: c}, nil
}

// Next decodes the next chunk: the values that it holds and their places in it, ascending. Without places (nil) there is
// a value for every parameter. Both are valid until the next call. After the last chunk there are no values. It finds what
// makes a chunk unreadable; that values are finite and nothing follows the last chunk is for Validate to see.
func (r *Reader) Next() (at []uint16, values []float32, err error) {
	chunk, params, err := r.next(r.codec)
	if err != nil || params == 0 {
		return nil, nil, err
	}
	switch r.codec.form {
	case silent:
		clear(r.values[:params]) // whoever had them may have written there
		return nil, r.values[:params], nil
	case dense:
		for j := range params {
			r.values[j] = denseAt(chunk, j)
		}
		return nil, r.values[:params], nil
	}
	e, err := r.codec.unpack(&r.s, chunk, params)
	if err != nil {
		return nil, nil, fmt.Errorf("chunk %d: %w", r.chunk-1, err)
	}
	if r.codec.form == masked {
		e.at = r.codec.mask(&r.s, r.chunk-1, params)
	}
	one := unit(e.scale, r.codec.bits)
	for i, l := range e.level {
		r.values[i] = float32(int8(l)) * one // exact
	}
	return e.at, r.values[:len(e.level)], nil
}

// cursor finds the chunks of one payload in order.
type cursor struct {
	table []byte // of lengths
	rest  []byte // behind the chunks read
	chunk int    // the next one
	left  int    // parameters
}

func (c Codec) cursor(payload []byte, n int) (cursor, error) {
	table := c.lengthBytes * Chunks(max(n, 0))
	switch {
	case c.form == masked && !c.seeded:
		return cursor{}, ErrMask
	case n < 0 || n > math.MaxInt/8 || len(payload) < table || c.lengthBytes == 0 && len(payload) != c.Size(n):
		return cursor{}, fmt.Errorf("%w: payload of %d bytes does not encode %d parameters", ErrLength, len(payload), n)
	}
	return cursor{table: payload[:table], rest: payload[table:], left: n}, nil
}

// next returns the bytes and the parameters of the next chunk, no parameters after the last.
func (r *cursor) next(c Codec) (chunk []byte, params int, err error) {
	if params = min(ChunkParams, r.left); params == 0 {
		return nil, 0, nil
	}
	width := c.lengthAt(r.table, r.chunk, params)
	if width > len(r.rest) {
		return nil, 0, fmt.Errorf("%w: chunk %d has %d bytes, %d are left", ErrLength, r.chunk, width, len(r.rest))
	}
	chunk = r.rest[:width:width]
	r.rest, r.left, r.chunk = r.rest[width:], r.left-params, r.chunk+1
	return chunk, params, nil
}

// skip goes on to that chunk.
func (r *cursor) skip(c Codec, chunk int) error {
	for r.chunk < chunk && r.left > 0 {
		if _, _, err := r.next(c); err != nil {
			return err
		}
	}
	return nil
}

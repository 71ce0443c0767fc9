package delta

import "fmt"

// Reader decodes the chunks of one payload in order, so that many payloads can be looked at side by side.
type Reader struct {
	codec  Codec
	rest   []byte
	left   int // parameters
	at     [ChunkParams]uint16
	values [ChunkParams]float32
}

// Reader returns a reader of a payload of n parameters, which must have passed Validate. The error wraps ErrLength.
func (c Codec) Reader(payload []byte, n int) (*Reader, error) {
	if n < 0 || len(payload) != c.Size(n) {
		return nil, fmt.Errorf("%w: payload of %d bytes does not encode %d parameters", ErrLength, len(payload), n)
	}
	return &Reader{codec: c, rest: payload, left: n}, nil
}

// Next decodes the next chunk: the values that it holds and their places in it, ascending. Without places (nil) there is
// a value for every parameter. Both are valid until the next call. After the last chunk there are no values.
func (r *Reader) Next() (at []uint16, values []float32) {
	params := min(ChunkParams, r.left)
	chunk := r.rest[:r.codec.width(params)]
	r.rest, r.left = r.rest[len(chunk):], r.left-params
	if r.codec.topK == 0 {
		for j := range params {
			r.values[j] = denseAt(chunk, j)
		}
		return nil, r.values[:params]
	}
	if params == 0 {
		return r.at[:0], r.values[:0]
	}
	s := r.codec.sparse(chunk, params)
	levels, used := s.values(), s.used()
	for i := range used {
		r.at[i], r.values[i] = uint16(s.index(i)), levels[s.code(i)]
	}
	return r.at[:used], r.values[:used]
}

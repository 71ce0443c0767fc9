package delta

import (
	"errors"
	"fmt"
	"math"

	"drystone/protocol"
)

// ChunkParams is the number of parameters of every chunk but the last of a vector.
const ChunkParams = 4096

// Errors of a Codec.
var (
	ErrSpec         = errors.New("delta: codec settings that no codec has")
	ErrNotFinite    = errors.New("delta: value is NaN or infinite")
	ErrRange        = errors.New("delta: values are too large for a binary16 scale")
	ErrLength       = errors.New("delta: length does not fit")
	ErrNotCanonical = errors.New("delta: payload is not the one valid encoding")
)

// Codec encodes and decodes by one CodecSpec. It is immutable. The zero Codec is not valid; use New.
type Codec struct {
	topK  int // 0 for dense
	decay float32
}

// New returns the codec that spec.Up names, "dense" or "sparse". The error wraps ErrSpec.
func New(spec protocol.CodecSpec) (Codec, error) {
	switch {
	case spec.Up == "dense":
		return Codec{}, nil
	case spec.Up != "sparse":
		return Codec{}, fmt.Errorf("%w: codec.up = %q, want dense or sparse", ErrSpec, spec.Up)
	case spec.TopK < 1 || spec.TopK > ChunkParams:
		return Codec{}, fmt.Errorf("%w: codec.top_k = %d, want 1 to %d", ErrSpec, spec.TopK, ChunkParams)
	case spec.ValueBits != 2:
		return Codec{}, fmt.Errorf("%w: codec.value_bits = %d, want 2", ErrSpec, spec.ValueBits)
	case !(spec.Decay >= 0 && spec.Decay <= 1):
		return Codec{}, fmt.Errorf("%w: codec.decay = %v, want 0 to 1", ErrSpec, spec.Decay)
	}
	return Codec{topK: spec.TopK, decay: float32(spec.Decay)}, nil
}

// HasFeedback reports whether the codec leaves an error that the next round's encoding takes in: the sparse one does.
func (c Codec) HasFeedback() bool { return c.topK > 0 }

// Chunks returns the number of chunks of n parameters.
func Chunks(n int) int { return (n + ChunkParams - 1) / ChunkParams }

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
	case c.topK == 0:
		return 4 * n
	}
	return 2 + (14*min(c.topK, n)+7)/8
}

// Encode appends the payload of u, one shard, to dst. feedback, as long as u, holds the error left by the peer's previous
// encoding (zeros for none) and receives the error left by this one; a dense codec ignores it. On an error, which wraps
// ErrNotFinite, ErrRange or ErrLength, dst comes back as it was and feedback is spoilt.
func (c Codec) Encode(dst []byte, u, feedback []float32) ([]byte, error) {
	start := len(dst)
	if c.HasFeedback() && len(feedback) != len(u) {
		return dst, fmt.Errorf("%w: %d values of error feedback for %d parameters", ErrLength, len(feedback), len(u))
	}
	for lo := 0; lo < len(u); lo += ChunkParams {
		hi := min(lo+ChunkParams, len(u))
		var fb []float32
		if c.HasFeedback() {
			fb = feedback[lo:hi]
		}
		var err error
		if dst, err = c.EncodeChunk(dst, u[lo:hi], fb, fb); err != nil {
			return dst[:start], fmt.Errorf("chunk %d: %w", lo/ChunkParams, err)
		}
	}
	return dst, nil
}

// EncodeChunk appends the encoding of one chunk, 1 to ChunkParams values of u, to dst. before and after are the chunk's
// error feedback, each as long as u, and may be the same slice; before may be nil for zeros. A dense codec ignores both.
// On an error, which wraps ErrNotFinite, ErrRange or ErrLength, dst comes back as it was.
func (c Codec) EncodeChunk(dst []byte, u, before, after []float32) ([]byte, error) {
	if len(u) < 1 || len(u) > ChunkParams {
		return dst, fmt.Errorf("%w: chunk of %d parameters, want 1 to %d", ErrLength, len(u), ChunkParams)
	}
	if !c.HasFeedback() {
		return appendDense(dst, u)
	}
	if before != nil && len(before) != len(u) || len(after) != len(u) {
		return dst, fmt.Errorf("%w: error feedback of %d and %d values for a chunk of %d", ErrLength, len(before), len(after), len(u))
	}
	return c.appendSparse(dst, u, before, after)
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

// Validate checks that payload is an encoding of n parameters: the right length, canonical, no NaN or infinity. It reads
// every byte once and allocates nothing. The error wraps ErrLength, ErrNotCanonical or ErrNotFinite.
func (c Codec) Validate(payload []byte, n int) error {
	return c.each(payload, n, func(i, params int, chunk []byte) error {
		if c.topK == 0 {
			return checkDense(chunk)
		}
		return c.sparse(chunk, params).check()
	})
}

// AddTo adds w times the decoded payload to acc, which decides the number of parameters: acc[j] = fma(w, value, acc[j])
// for every entry that the payload holds. Those that a sparse payload leaves out are skipped. The payload must have
// passed Validate for len(acc) parameters: of one that has not, only the length is checked here.
func (c Codec) AddTo(acc []float32, w float32, payload []byte) error {
	return c.each(payload, len(acc), func(i, params int, chunk []byte) error {
		out := acc[i*ChunkParams:][:params]
		if c.topK == 0 {
			addDense(out, w, chunk)
		} else {
			c.sparse(chunk, params).addTo(out, w)
		}
		return nil
	})
}

// SumSquares returns the sum of the squares of the decoded payload, in float64. Each square is exact; they are folded
// from +0 in order of index within each chunk, and the chunks' results in order from +0. See AddTo for unvalidated
// payloads.
func (c Codec) SumSquares(payload []byte, n int) (float64, error) {
	var total float64
	err := c.each(payload, n, func(_, params int, chunk []byte) error {
		if c.topK == 0 {
			total += squaresDense(chunk)
		} else {
			total += c.sparse(chunk, params).squares()
		}
		return nil
	})
	return total, err
}

// each calls visit with the index, the parameters and the bytes of every chunk, once the length is known to be right.
func (c Codec) each(payload []byte, n int, visit func(i, params int, chunk []byte) error) error {
	if n < 0 || n > math.MaxInt/4 || len(payload) != c.Size(n) {
		return fmt.Errorf("%w: payload of %d bytes does not encode %d parameters", ErrLength, len(payload), n)
	}
	for i := 0; n > 0; i++ {
		params := min(ChunkParams, n)
		w := c.width(params)
		if err := visit(i, params, payload[:w]); err != nil {
			return fmt.Errorf("chunk %d: %w", i, err)
		}
		payload, n = payload[w:], n-params
	}
	return nil
}

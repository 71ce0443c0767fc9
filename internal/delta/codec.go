package delta

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"drystone/internal/exact"
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
	form  form
	topK  int // entries of a full chunk of a sparse form
	bits  int // of a value
	decay float32
	vec   *vector // nil on the ref path
}

// form is how a chunk looks on the wire.
type form int

const (
	dense form = iota
	sparse
)

// forms holds what codec.up calls them.
var forms = map[string]form{"dense": dense, "sparse": sparse}

// New returns the codec for spec.Up, on the code path that DRYSTONE_CPU names, or on the fastest that the processor
// offers. The error wraps ErrSpec, or exact.ErrPath.
func New(spec protocol.CodecSpec) (Codec, error) {
	paths := exact.Paths()
	path := os.Getenv(exact.EnvPath)
	if path == "" {
		path = paths[len(paths)-1]
	}
	if !slices.Contains(paths, path) {
		return Codec{}, fmt.Errorf("%w: %q (set by %s); here: %s", exact.ErrPath, path, exact.EnvPath, strings.Join(paths, ", "))
	}
	return newPath(spec, path)
}

func newPath(spec protocol.CodecSpec, path string) (Codec, error) {
	f, ok := forms[spec.Up]
	c := Codec{form: f, vec: vectorFor(path)}
	switch {
	case !ok:
		return Codec{}, fmt.Errorf("%w: codec.up = %q", ErrSpec, spec.Up)
	case !c.HasFeedback():
		return c, nil
	case !(spec.Decay >= 0 && spec.Decay <= 1):
		return Codec{}, fmt.Errorf("%w: codec.decay = %v, want 0 to 1", ErrSpec, spec.Decay)
	}
	c.decay = float32(spec.Decay)
	switch {
	case spec.TopK < 1 || spec.TopK > ChunkParams:
		return Codec{}, fmt.Errorf("%w: codec.top_k = %d, want 1 to %d", ErrSpec, spec.TopK, ChunkParams)
	case spec.ValueBits != 2 && spec.ValueBits != 4:
		return Codec{}, fmt.Errorf("%w: codec.value_bits = %d, want 2 or 4", ErrSpec, spec.ValueBits)
	}
	c.topK, c.bits = spec.TopK, spec.ValueBits
	return c, nil
}

// HasFeedback reports whether the codec leaves an error that the next round's encoding takes in: all but dense do.
func (c Codec) HasFeedback() bool { return c.form != dense }

// Chunks returns the number of chunks of n parameters.
func Chunks(n int) int { return (n + ChunkParams - 1) / ChunkParams }

// Encode appends the payload of u, one shard, to dst. feedback, as long as u, holds the error left by the peer's previous
// encoding (zeros for none) and receives the error left by this one; a dense codec ignores it. On an error, which wraps
// ErrNotFinite, ErrRange or ErrLength, dst comes back as it was and feedback is spoilt.
func (c Codec) Encode(dst []byte, u, feedback []float32) ([]byte, error) {
	if c.HasFeedback() && len(feedback) != len(u) {
		return dst, fmt.Errorf("%w: %d values of error feedback for %d parameters", ErrLength, len(feedback), len(u))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	start := len(dst)
	for lo := 0; lo < len(u); lo += ChunkParams {
		hi := min(lo+ChunkParams, len(u))
		var fb []float32
		if c.HasFeedback() {
			fb = feedback[lo:hi]
		}
		var err error
		if dst, err = c.appendChunk(s, dst, u[lo:hi], fb, fb); err != nil {
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
	if c.HasFeedback() && (before != nil && len(before) != len(u) || len(after) != len(u)) {
		return dst, fmt.Errorf("%w: error feedback of %d and %d values for a chunk of %d", ErrLength, len(before), len(after), len(u))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return c.appendChunk(s, dst, u, before, after)
}

// appendChunk encodes one chunk by the steps of the package comment. The lengths have been checked.
func (c Codec) appendChunk(s *scratch, dst []byte, u, before, after []float32) ([]byte, error) {
	if c.form == dense {
		return c.appendDense(dst, u)
	}
	decay := c.decay
	if before == nil {
		before, decay = u, 0 // fma(0, u, u) = u
	}
	top := c.vec.accumulate(after, before, u, decay)
	if top >= expMask {
		return dst, fmt.Errorf("after error feedback: %w", notFinite(after))
	}
	n := min(c.topK, len(u))
	e, err := c.quantise(s, c.vec.choose(s, after, n, top), after)
	if err != nil {
		return dst, err
	}
	width := c.packSparse(s, e, n)
	c.vec.flush(after)
	return append(dst, s.bits[:width]...), nil
}

// Validate checks that payload is an encoding of n parameters: the right length, canonical, no NaN or infinity. It reads
// every byte once and allocates nothing. The error wraps ErrLength, ErrNotCanonical or ErrNotFinite.
func (c Codec) Validate(payload []byte, n int) error {
	return c.each(payload, n, func(s *scratch, i, params int, chunk []byte) error {
		if c.form == dense {
			return checkDense(chunk)
		}
		_, err := c.unpackSparse(s, chunk, params)
		return err
	})
}

// AddTo adds w times the decoded payload to acc, which decides the number of parameters: acc[j] = fma(w, value, acc[j])
// for every entry that the payload holds. Those that a sparse payload leaves out are skipped. The payload must have
// passed Validate for len(acc) parameters; of one that has not, a part may have been added before an error comes back.
func (c Codec) AddTo(acc []float32, w float32, payload []byte) error {
	return c.each(payload, len(acc), func(s *scratch, i, params int, chunk []byte) error {
		out := acc[i*ChunkParams:][:params]
		if c.form == dense {
			c.vec.fma(out, chunk, w)
			return nil
		}
		e, err := c.unpackSparse(s, chunk, params)
		if err != nil {
			return err
		}
		e.addTo(out, w, c.bits)
		return nil
	})
}

// SumSquares returns the sum of the squares of the decoded payload, in float64. Each square is exact; they are folded
// from +0 in order of index within each chunk, and the chunks' results in order from +0. See AddTo for unvalidated
// payloads.
func (c Codec) SumSquares(payload []byte, n int) (float64, error) {
	var total float64
	err := c.each(payload, n, func(s *scratch, _, params int, chunk []byte) error {
		if c.form == dense {
			total += squaresDense(chunk)
			return nil
		}
		e, err := c.unpackSparse(s, chunk, params)
		if err != nil {
			return err
		}
		total += squares(e.level, unit(e.scale, c.bits))
		return nil
	})
	return total, err
}

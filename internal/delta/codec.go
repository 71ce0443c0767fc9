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
	ErrMask         = errors.New("delta: no mask, want WithMask")
)

// Codec encodes and decodes by one CodecSpec. It is immutable. The zero Codec is not valid; use New.
type Codec struct {
	form        form
	topK        int // entries of a full chunk, for the forms that have fewer than parameters
	bits        int // of a value
	lengthBytes int // per chunk in the table of lengths, 0 for fixed widths
	decay       float32
	vec         *vector // nil on the ref path

	// Of a masked codec, by WithMask or by Round and Shard.
	seeded bool
	seed   uint64
	first  int // chunk of the model that a payload begins with

	shardChunks int    // of a whole shard
	stagger     uint32 // shards take turns in so many rounds; 0 and 1 for every round
	round       uint32
}

// form is how a chunk looks on the wire.
type form int

const (
	dense form = iota
	sparse
	rice
	eight
	masked
	silent // of a shard whose turn it is not, in a round of a run that staggers shards: every chunk is empty
)

// forms holds what codec.up calls them.
var forms = map[string]form{"dense": dense, "sparse": sparse, "rice": rice, "int8": eight, "masked": masked}

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
	if !ok {
		return Codec{}, fmt.Errorf("%w: codec.up = %q", ErrSpec, spec.Up)
	}
	c := Codec{form: f, bits: 8, vec: vectorFor(path), shardChunks: spec.ShardParams / ChunkParams, stagger: spec.Stagger}
	if c.form == dense {
		c.stagger = 0 // without error feedback nothing can wait for its turn
		return c, nil
	}
	if !(spec.Decay >= 0 && spec.Decay <= 1) {
		return Codec{}, fmt.Errorf("%w: codec.decay = %v, want 0 to 1", ErrSpec, spec.Decay)
	}
	c.decay = float32(spec.Decay)
	if c.form == eight {
		return c, nil
	}
	if spec.TopK < 1 || spec.TopK > ChunkParams {
		return Codec{}, fmt.Errorf("%w: codec.top_k = %d, want 1 to %d", ErrSpec, spec.TopK, ChunkParams)
	}
	c.topK = spec.TopK
	if c.form == masked {
		return c, nil
	}
	if spec.ValueBits != 2 && spec.ValueBits != 4 {
		return Codec{}, fmt.Errorf("%w: codec.value_bits = %d, want 2 or 4", ErrSpec, spec.ValueBits)
	}
	c.bits = spec.ValueBits
	if c.form == rice {
		c.lengthBytes = 1
		if c.riceWidth(ChunkParams) > 255 {
			c.lengthBytes = 2
		}
	}
	return c, nil
}

// HasFeedback reports whether the codec leaves an error that the next round's encoding takes in: all but dense do.
func (c Codec) HasFeedback() bool { return c.form != dense }

// Chunks returns the number of chunks of n parameters.
func Chunks(n int) int { return (n + ChunkParams - 1) / ChunkParams }

// Encode appends the payload of u, one shard, to dst. feedback, as long as u, holds the error left by the peer's previous
// encoding (zeros for none) and receives the error left by this one; a dense codec ignores it. On an error, which wraps
// ErrNotFinite, ErrRange, ErrLength or ErrMask, dst comes back as it was and feedback is spoilt.
func (c Codec) Encode(dst []byte, u, feedback []float32) ([]byte, error) {
	if c.HasFeedback() && len(feedback) != len(u) {
		return dst, fmt.Errorf("%w: %d values of error feedback for %d parameters", ErrLength, len(feedback), len(u))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	start := len(dst)
	table := c.lengthBytes * Chunks(len(u))
	dst = append(dst, make([]byte, table)...)
	for i := range Chunks(len(u)) {
		lo, hi := i*ChunkParams, min((i+1)*ChunkParams, len(u))
		var fb []float32
		if c.HasFeedback() {
			fb = feedback[lo:hi]
		}
		before := len(dst)
		var err error
		if dst, err = c.appendChunk(s, dst, i, u[lo:hi], fb, fb); err != nil {
			return dst[:start], fmt.Errorf("chunk %d: %w", i, err)
		}
		c.putLength(dst[start:][:table], i, len(dst)-before)
	}
	return dst, nil
}

// EncodeChunk appends the encoding of one chunk, 1 to ChunkParams values of u, to dst. before and after are the chunk's
// error feedback, each as long as u, and may be the same slice; before may be nil for zeros. A dense codec ignores both.
// On an error, which wraps ErrNotFinite, ErrRange, ErrLength or ErrMask, dst comes back as it was. A masked codec encodes
// the chunk that WithMask named.
func (c Codec) EncodeChunk(dst []byte, u, before, after []float32) ([]byte, error) {
	if len(u) < 1 || len(u) > ChunkParams {
		return dst, fmt.Errorf("%w: chunk of %d parameters, want 1 to %d", ErrLength, len(u), ChunkParams)
	}
	if c.HasFeedback() && (before != nil && len(before) != len(u) || len(after) != len(u)) {
		return dst, fmt.Errorf("%w: error feedback of %d and %d values for a chunk of %d", ErrLength, len(before), len(after), len(u))
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	return c.appendChunk(s, dst, 0, u, before, after)
}

// appendChunk encodes chunk i by the steps of the package comment. The lengths have been checked.
func (c Codec) appendChunk(s *scratch, dst []byte, i int, u, before, after []float32) ([]byte, error) {
	if c.form == dense {
		return c.appendDense(dst, u)
	}
	if c.form == masked && !c.seeded {
		return dst, ErrMask
	}
	decay := c.decay
	if before == nil {
		before, decay = u, 0 // fma(0, u, u) = u
	}
	top := c.vec.accumulate(after, before, u, decay)
	if top >= expMask {
		return dst, fmt.Errorf("after error feedback: %w", notFinite(after))
	}
	width, err := c.pack(s, i, after, top)
	if err != nil {
		return dst, err
	}
	c.vec.flush(after)
	return append(dst, s.bits[:width]...), nil
}

// pack writes what the form holds of after into s.bits, leaves the rest in after and returns the length.
func (c Codec) pack(s *scratch, i int, after []float32, top uint32) (int, error) {
	switch c.form {
	case silent:
		return 0, nil
	case eight:
		return packBytes(s, c.levelAll(s, after, top)), nil
	case masked:
		return packBytes(s, c.levelMask(s, i, after)), nil
	}
	n := min(c.topK, len(after))
	e, err := c.quantise(s, c.vec.choose(s, after, n, top), after)
	if err != nil {
		return 0, err
	}
	if c.form == rice {
		return c.packRice(s, e, n, len(after)), nil
	}
	return c.packSparse(s, e, n), nil
}

package trainer

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"drystone/internal/examples"
	"drystone/models"
	"drystone/protocol"
)

// Source returns the dataset chunk of that digest, from a file or from a peer. What it returns is checked.
type Source func(ctx context.Context, chunk protocol.Digest) ([]byte, error)

// Dataset is a corpus in memory: sequences of tokens, or labelled examples. The last part of it is held out.
type Dataset struct {
	spec  protocol.DataSpec
	data  []byte        // tokens of width bytes each, little-endian
	width int           // 0 for examples
	set   *examples.Set // nil for tokens
	train int           // tokens or examples before the holdout
	bytes int           // of memory
}

// LoadDataset fetches every chunk of the manifest in order and verifies it. Memory grows with verified data only. Errors
// wrap ErrData, or the source's error with the chunk's place.
func LoadDataset(ctx context.Context, spec protocol.DataSpec, m *protocol.Manifest, fetch Source) (*Dataset, error) {
	if got := protocol.MerkleRoot(m.Encode()); got != spec.Manifest {
		return nil, fmt.Errorf("%w: manifest has digest %s, the run spec names %s", ErrData, got.Short(), spec.Manifest.Short())
	}
	if width := uint64(spec.TokenBytes()); width > 0 && m.Bytes != width*spec.Tokens { // Tokens is at most 2^48
		return nil, fmt.Errorf("%w: manifest of %d bytes, the run spec says %d tokens of %d", ErrData, m.Bytes, spec.Tokens, width)
	}
	var data []byte
	for i, want := range m.Chunks {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		chunk, err := fetch(ctx, want)
		if err != nil {
			return nil, fmt.Errorf("dataset chunk %d of %d: %w", i, len(m.Chunks), err)
		}
		if size := min(m.Bytes-uint64(i)*protocol.ChunkSize, protocol.ChunkSize); uint64(len(chunk)) != size {
			return nil, fmt.Errorf("%w: chunk %d of %d has %d bytes, want %d", ErrData, i, len(m.Chunks), len(chunk), size)
		}
		if got := protocol.MerkleRoot(chunk); got != want {
			return nil, fmt.Errorf("%w: chunk %d of %d has digest %s, want %s", ErrData, i, len(m.Chunks), got.Short(), want.Short())
		}
		data = append(data, chunk...)
	}
	return OpenDataset(spec, data)
}

// NewDataset is OpenDataset for text, whose bytes are the tokens.
func NewDataset(text []byte, holdout uint64) (*Dataset, error) {
	return OpenDataset(protocol.DataSpec{Tokenizer: "bytes", Tokens: uint64(len(text)), Holdout: holdout}, text)
}

// OpenDataset reads data, which it keeps, as spec says, and splits it: the last spec.Holdout tokens or examples are held
// out. Both parts must hold at least 2 tokens or 1 example; NewDevice checks them against the model. Errors wrap ErrData.
func OpenDataset(spec protocol.DataSpec, data []byte) (*Dataset, error) {
	d := &Dataset{spec: spec, bytes: len(data)}
	n, least := uint64(0), uint64(2)
	switch d.width = spec.TokenBytes(); {
	case spec.Kind == protocol.Examples:
		set, err := examples.Open(data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrData, err)
		}
		d.set, d.width, n, least = set, 0, uint64(set.Count), 1
	case d.width == 0:
		return nil, fmt.Errorf("%w: kind %q with tokenizer %q", ErrData, spec.Kind, spec.Tokenizer)
	case len(data)%d.width != 0:
		return nil, fmt.Errorf("%w: byte %d: %d bytes are no whole number of %s tokens", ErrData, len(data)/d.width*d.width, len(data), spec.Tokenizer)
	default:
		d.data, n = data, uint64(len(data)/d.width)
	}
	if n != spec.Tokens {
		return nil, fmt.Errorf("%w: %d %s, the run spec says %d", ErrData, n, d.unit(), spec.Tokens)
	}
	if n < 2*least || spec.Holdout < least || spec.Holdout > n-least {
		return nil, fmt.Errorf("%w: %d %s with a holdout of %d: want at least %d on either side", ErrData, n, d.unit(), spec.Holdout, least)
	}
	d.train = int(n - spec.Holdout)
	return d, nil
}

// unit is what the dataset is counted in.
func (d *Dataset) unit() string {
	switch {
	case d.set != nil:
		return "examples"
	case d.width == 1:
		return "bytes"
	}
	return "tokens"
}

// Tokens and Holdout return the lengths of the whole and of the held-out part, in tokens or examples.
func (d *Dataset) Tokens() uint64  { return d.spec.Tokens }
func (d *Dataset) Holdout() uint64 { return d.spec.Holdout }

// held returns the number of held-out tokens or examples.
func (d *Dataset) held() int { return int(d.spec.Holdout) }

// Fits checks that a model can read the data: that a sequence of context+1 tokens fits both parts and that every token
// is in the vocabulary, or that examples have its shape and targets. Errors wrap ErrData and name the keys of the RunSpec.
func (d *Dataset) Fits(m *protocol.ModelSpec) error {
	if d.set != nil || m.OnExamples() {
		return d.fitsExamples(m)
	}
	if need := m.Context + 1; d.train < need || d.held() < need {
		return fmt.Errorf("%w: training part of %s 0 to %d and holdout to %d: want at least one sequence of %d %s in each; use more text or a shorter context",
			ErrData, d.unit(), d.train, d.train+d.held(), need, d.unit())
	}
	if d.width == 1 && m.Vocab >= 256 {
		return nil
	}
	for i := range d.train + d.held() {
		if t := d.token(i); t >= uint32(m.Vocab) {
			return fmt.Errorf("%w: token %d (byte %d) is %d, the model has a vocabulary of %d (model.vocab)", ErrData, i, i*d.width, t, m.Vocab)
		}
	}
	return nil
}

func (d *Dataset) fitsExamples(m *protocol.ModelSpec) error {
	if d.set == nil || !m.OnExamples() {
		return fmt.Errorf("%w: %s for a model of family %s", ErrData, d.unit(), m.Family)
	}
	if m.Family == "convnet" && (d.set.Height != m.Height || d.set.Width != m.Width || d.set.Channels != m.Channels) {
		return fmt.Errorf("%w: %s, the model reads %d x %d x %d (model.height, width, channels)", ErrData, d.set.Shape(), m.Height, m.Width, m.Channels)
	}
	if n := d.set.Features(); n != m.Features() {
		return fmt.Errorf("%w: examples of %d features (%s), the model reads %d (model.inputs)", ErrData, n, d.set.Shape(), m.Features())
	}
	if classes, values := d.set.Classes, d.set.Values; m.Loss == "cross-entropy" && classes != m.Outputs || m.Loss == "squared-error" && values != m.Outputs {
		return fmt.Errorf("%w: %d classes and %d values, the model has %d outputs for %s (model.outputs, loss)", ErrData, classes, values, m.Outputs, m.Loss)
	}
	return nil
}

// token returns token i.
func (d *Dataset) token(i int) uint32 {
	switch d.width {
	case 2:
		return uint32(binary.LittleEndian.Uint16(d.data[2*i:]))
	case 4:
		return binary.LittleEndian.Uint32(d.data[4*i:])
	}
	return uint32(d.data[i])
}

// sequence fills tokens with the tokens from at on, and targets with those from at+1 on.
func (d *Dataset) sequence(at int, tokens, targets []int32) {
	for i := range tokens {
		tokens[i], targets[i] = int32(d.token(at+i)), int32(d.token(at+i+1))
	}
}

// example makes row i of in example n.
func (d *Dataset) example(n, i int, in *models.Inputs) {
	width := d.set.Features()
	d.set.Read(n, in.Features[i*width:][:width])
	if d.set.Classes > 0 {
		in.Targets[i] = d.set.Class(n)
	} else {
		d.set.Targets(n, in.Values[i*d.set.Values:][:d.set.Values])
	}
}

// Draw fills in, made by models.NewInputs, with the batch of one inner step: sequences of context+1 consecutive tokens of
// the training part, of which tokens are the first and targets the last context; or examples of it.
//
// The start of each sequence in turn is uniform over the n = train-context places where one fits, and each example over
// the n = train examples. A source of 64-bit words w, chacha8rand (C2SP) keyed with
// protocol.Hash("sequence", run, round, index, step), numbers as 32 bits big-endian, gives it: words below 2^64 mod n are
// passed over, the first other word gives w mod n.
func (d *Dataset) Draw(a protocol.Assignment, step uint32, context int, in *models.Inputs) {
	src := sequenceSource(a, step)
	if d.set != nil {
		for i := range len(in.Features) / d.set.Features() {
			d.example(int(uniform(src, uint64(d.train))), i, in)
		}
		return
	}
	for at := 0; at+context <= len(in.Tokens); at += context {
		start := uniform(src, uint64(d.train-context))
		d.sequence(int(start), in.Tokens[at:at+context], in.Targets[at:at+context])
	}
}

func sequenceSource(a protocol.Assignment, step uint32) *rand.ChaCha8 {
	var b []byte
	for _, v := range []uint32{a.Round, a.Index, step} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return rand.NewChaCha8(protocol.Hash("sequence", a.Run[:], b))
}

// uniform returns an integer in [0, n), n > 0, by rejection.
func uniform(src *rand.ChaCha8, n uint64) uint64 {
	reject := -n % n // 2^64 mod n
	for {
		if w := src.Uint64(); w >= reject {
			return w % n
		}
	}
}

// window fills tokens and targets, each (context), with held-out window i. Windows of context tokens lie side by side
// from the start of the holdout; the target of a window's last token is the first of the next one.
func (d *Dataset) window(i, context int, tokens, targets []int32) {
	d.sequence(d.train+i*context, tokens[:context], targets)
}

// windows returns the number of held-out windows.
func (d *Dataset) windows(context int) int { return (d.held() - 1) / context }

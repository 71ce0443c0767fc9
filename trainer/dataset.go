package trainer

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"drystone/protocol"
)

// Source returns the dataset chunk of that digest, from a file or from a peer. What it returns is checked.
type Source func(ctx context.Context, chunk protocol.Digest) ([]byte, error)

// Dataset is a corpus of bytes in memory: the part that is trained on and the holdout after it. Every byte is a token.
type Dataset struct {
	data  []byte
	train int // tokens before the holdout
}

// LoadDataset fetches every chunk of the manifest in order and verifies it. Memory grows with verified data only. Errors
// wrap ErrData, or the source's error with the chunk's place.
func LoadDataset(ctx context.Context, spec protocol.DataSpec, m *protocol.Manifest, fetch Source) (*Dataset, error) {
	if got := protocol.MerkleRoot(m.Encode()); got != spec.Manifest {
		return nil, fmt.Errorf("%w: manifest has digest %s, the run spec names %s", ErrData, got.Short(), spec.Manifest.Short())
	}
	if m.Bytes != spec.Tokens {
		return nil, fmt.Errorf("%w: manifest of %d bytes, the run spec says %d", ErrData, m.Bytes, spec.Tokens)
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
	return NewDataset(data, spec.Holdout)
}

// NewDataset splits data, which it keeps: the last holdout bytes are held out. Both parts must hold at least 2 bytes;
// NewDevice checks them against the length of a sequence.
func NewDataset(data []byte, holdout uint64) (*Dataset, error) {
	if n := uint64(len(data)); n < 4 || holdout < 2 || holdout > n-2 {
		return nil, fmt.Errorf("%w: %d bytes with a holdout of %d: want at least 2 on either side", ErrData, n, holdout)
	}
	return &Dataset{data: data, train: len(data) - int(holdout)}, nil
}

// Tokens and Holdout return the lengths of the whole and of the held-out part.
func (d *Dataset) Tokens() uint64  { return uint64(len(d.data)) }
func (d *Dataset) Holdout() uint64 { return uint64(len(d.data) - d.train) }

// fits checks that a sequence of context+1 tokens fits both parts.
func (d *Dataset) fits(context int) error {
	if need := context + 1; d.train < need || len(d.data)-d.train < need {
		return fmt.Errorf("%w: training part of bytes 0 to %d and holdout to %d: want at least one sequence of %d bytes in each; use more text or a shorter context",
			ErrData, d.train, len(d.data), need)
	}
	return nil
}

// Draw fills tokens and targets, each (batch, context), with the sequences of one inner step: context+1 consecutive
// tokens of the training part each, of which tokens are the first and targets the last context.
//
// The start of each sequence in turn is uniform over the n = train-context places where one fits. A source of 64-bit
// words w, chacha8rand (C2SP) keyed with protocol.Hash("sequence", run, round, index, step), numbers as 32 bits
// big-endian, gives it: words below 2^64 mod n are passed over, the first other word gives w mod n.
func (d *Dataset) Draw(a protocol.Assignment, step uint32, context int, tokens, targets []int32) {
	src := sequenceSource(a, step)
	for at := 0; at+context <= len(tokens); at += context {
		seq := d.data[uniform(src, uint64(d.train-context)):]
		for i := range context {
			tokens[at+i], targets[at+i] = int32(seq[i]), int32(seq[i+1])
		}
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
	seq := d.data[d.train+i*context:]
	for j := range context {
		tokens[j], targets[j] = int32(seq[j]), int32(seq[j+1])
	}
}

// windows returns the number of held-out windows.
func (d *Dataset) windows(context int) int { return (len(d.data) - d.train - 1) / context }

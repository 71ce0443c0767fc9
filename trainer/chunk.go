package trainer

import (
	"bytes"
	"fmt"
	"slices"

	"drystone/internal/delta"
	"drystone/protocol"
)

func chunksOf(params int) int { return delta.Chunks(params) }

// CheckChunk repeats the encoding of an opened codec chunk: theta is that chunk of the public theta_r, payload its bytes
// in the revealed shard. It returns nil if the payload and the error feedback after it are what the opened values encode
// to, else an error that wraps ErrChunkMismatch, or ErrMalformed for vectors of the wrong length. The caller
// checks the paths of the opening, and that Before is empty exactly if TraceStart.Feedback is zero.
func CheckChunk(codec delta.Codec, theta []float32, o *protocol.ChunkOpening, payload []byte) error {
	n := len(theta)
	u, err := parseFloats("opened theta", o.Theta, n)
	if err != nil {
		return err
	}
	for i, x := range u {
		u[i] = theta[i] - x
	}
	var before, after []float32
	want := 0
	if codec.HasFeedback() {
		want = 4 * n
		after = make([]float32, n)
		if len(o.Before) > 0 {
			if before, err = parseFloats("error feedback before", o.Before, n); err != nil {
				return err
			}
		}
	} else if len(o.Before) > 0 {
		return fmt.Errorf("%w: error feedback for a codec without", ErrMalformed)
	}
	if len(o.After) != want {
		return fmt.Errorf("%w: error feedback after has %d bytes, want %d", ErrMalformed, len(o.After), want)
	}
	encoded, err := codec.EncodeChunk(nil, u, before, after)
	if err != nil {
		return fmt.Errorf("%w: chunk %d: %w", ErrChunkMismatch, o.Index, err)
	}
	if !bytes.Equal(encoded, payload) {
		return fmt.Errorf("%w: payload of chunk %d", ErrChunkMismatch, o.Index)
	}
	if !bytes.Equal(floatBytes(after), o.After) {
		return fmt.Errorf("%w: error feedback of chunk %d", ErrChunkMismatch, o.Index)
	}
	return nil
}

// CheckChunk is the function CheckChunk for an opening of a round of this run: theta is the whole of theta_r, payload the
// revealed shard that holds the chunk, ShardOf(o.Index).
func (d *Device) CheckChunk(round uint32, theta []float32, o *protocol.ChunkOpening, payload []byte) error {
	if len(theta) != d.Params() || int64(o.Index) >= int64(chunksOf(d.Params())) {
		return fmt.Errorf("%w: chunk %d of %d, theta of %d parameters", ErrMalformed, o.Index, chunksOf(d.Params()), len(theta))
	}
	at := int(o.Index) * delta.ChunkParams
	lo, hi := d.spec.Codec.Shard(d.Params(), d.ShardOf(o.Index))
	codec := d.codec.Round(d.run, round)
	part, err := codec.Shard(d.ShardOf(o.Index)).Chunk(payload, hi-lo, (at-lo)/delta.ChunkParams)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return CheckChunk(codec.At(int(o.Index)), slices.Clip(theta[at:min(at+delta.ChunkParams, hi)]), o, part)
}

// ShardOf returns the shard that holds a codec chunk.
func (d *Device) ShardOf(chunk uint32) int {
	return int(chunk) / (d.spec.Codec.ShardParams / delta.ChunkParams)
}

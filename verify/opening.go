package verify

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"drystone/internal/delta"
	"drystone/protocol"
)

// opened is what an opening is checked against. The check of a contribution and the audit of a proof share it.
type opened struct {
	spec      *protocol.RunSpec
	params    int
	commit    *protocol.Commit
	start     protocol.TraceStart
	end       protocol.TraceEnd
	shards    []uint32 // assigned, empty for all
	challenge Challenge
}

func openingOf(t *Task) opened {
	return opened{t.Spec, t.Params, &t.Commit.Body, t.Start, t.End, t.Assignment.Shards, t.Challenge}
}

// check verifies places, sizes and paths of an opening, cheapest first. withState says that the opening must carry the
// state at From if the run's kind of check needs it; a proof leaves it out.
func (x opened) check(o *protocol.Opening, withState bool) error {
	s, steps, seg := x.spec, x.commit.Steps, x.challenge.Segment
	from, to := SegmentSteps(s, steps, seg)
	segments := s.Segments(steps)
	size := uint64(segments) + 2
	state, moments := 0, 0
	if withState && seg > 0 && s.Verify.Kind == "segment" {
		state, moments = 4*x.params, 4*s.Codec.Trained(x.params, x.shards)
	}
	if s.Codec.HasFeedback() == x.end.Feedback.IsZero() || (!s.Codec.HasFeedback() && !x.start.Feedback.IsZero()) {
		return fmt.Errorf("trace names error feedback that does not fit the %s codec", s.Codec.Up)
	}
	if len(o.Theta) != state || len(o.M) != moments || len(o.V) != moments {
		return fmt.Errorf("opening carries a state of %d, %d and %d bytes, want %d and twice %d", len(o.Theta), len(o.M), len(o.V), state, moments)
	}
	if seg == 0 {
		if o.From != (protocol.TraceState{}) || o.FromPath.Index != 0 || o.FromPath.Size != 0 || len(o.FromPath.Nodes) != 0 {
			return fmt.Errorf("opening of segment 0 names a state before it")
		}
	} else if err := leafAt("state before the segment", o.From, from, o.FromPath, uint64(seg), size, x.commit.Trace); err != nil {
		return err
	}
	if err := leafAt("state after the segment", o.To, to, o.ToPath, uint64(seg)+1, size, x.commit.Trace); err != nil {
		return err
	}
	if err := leafAt("final state", o.Final, steps, o.FinalPath, uint64(segments), size, x.commit.Trace); err != nil {
		return err
	}
	if err := x.checkChunks(o); err != nil || state == 0 {
		return err
	}
	for _, part := range []struct {
		name string
		data []byte
		want protocol.Digest
	}{{"theta", o.Theta, o.From.Theta}, {"m", o.M, o.From.M}, {"v", o.V, o.From.V}} {
		if protocol.MerkleRoot(part.data) != part.want {
			return fmt.Errorf("opened %s is not the one in the trace", part.name)
		}
	}
	return nil
}

func leafAt(what string, st protocol.TraceState, step uint32, p protocol.Path, index, size uint64, root protocol.Digest) error {
	if st.Step != step {
		return fmt.Errorf("%s is of step %d, want %d", what, st.Step, step)
	}
	if p.Index != index || p.Size != size {
		return fmt.Errorf("%s stands at leaf %d of %d of the trace, want %d of %d", what, p.Index, p.Size, index, size)
	}
	if err := p.Check(st.Leaf(), root); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (x opened) checkChunks(o *protocol.Opening) error {
	if len(o.Chunks) != len(x.challenge.Chunks) {
		return fmt.Errorf("opening has %d codec chunks, want %d", len(o.Chunks), len(x.challenge.Chunks))
	}
	for i := range o.Chunks {
		c := &o.Chunks[i]
		if c.Index != x.challenge.Chunks[i] {
			return fmt.Errorf("opening has codec chunk %d in place of %d", c.Index, x.challenge.Chunks[i])
		}
		lo, hi := chunkRange(x.params, c.Index)
		if err := x.vector("theta", c, c.Theta, c.ThetaPath, o.Final.Theta, hi-lo); err != nil {
			return err
		}
		before, after := 0, 0
		if x.spec.Codec.HasFeedback() {
			after = hi - lo
		}
		if !x.start.Feedback.IsZero() {
			before = hi - lo
		}
		if err := x.vector("error feedback before", c, c.Before, c.BeforePath, x.start.Feedback, before); err != nil {
			return err
		}
		if err := x.vector("error feedback after", c, c.After, c.AfterPath, x.end.Feedback, after); err != nil {
			return err
		}
	}
	return nil
}

// vector checks one chunk of a vector of n values, or that there is none for n = 0.
func (x opened) vector(what string, c *protocol.ChunkOpening, data []byte, p protocol.Path, root protocol.Digest, n int) error {
	if len(data) != 4*n {
		return fmt.Errorf("codec chunk %d: %s has %d bytes, want %d", c.Index, what, len(data), 4*n)
	}
	if n == 0 {
		if p.Index != 0 || p.Size != 0 || len(p.Nodes) != 0 {
			return fmt.Errorf("codec chunk %d: %s is empty but has a path", c.Index, what)
		}
		return nil
	}
	if p.Index != uint64(c.Index) || p.Size != uint64(Chunks(x.params)) {
		return fmt.Errorf("codec chunk %d: %s stands at leaf %d of %d", c.Index, what, p.Index, p.Size)
	}
	if err := p.Check(protocol.LeafHash(data), root); err != nil {
		return fmt.Errorf("codec chunk %d: %s: %w", c.Index, what, err)
	}
	return nil
}

func chunkRange(params int, i uint32) (lo, hi int) {
	return int(i) * ChunkParams, min((int(i)+1)*ChunkParams, params)
}

// checkChunk encodes an opened chunk again. bad says how the payload differs; err is a failure on this side.
func checkChunk(t *Task, codec delta.Codec, c *protocol.ChunkOpening) (bad, err error) {
	lo, hi := chunkRange(t.Params, c.Index)
	shard := lo / t.Spec.Codec.ShardParams
	place, own := protocol.PlaceOf(t.Assignment.Shards, shard)
	if !own {
		return checkCarried(c, floatBytes(t.Theta[lo:hi])), nil
	}
	first, last := t.Spec.Codec.Shard(t.Params, shard)
	final := bytesFloat(c.Theta)
	u := make([]float32, hi-lo)
	for i := range u {
		u[i] = t.Theta[lo+i] - final[i]
	}
	var before, after []float32
	if codec.HasFeedback() {
		after = make([]float32, hi-lo)
		if len(c.Before) > 0 {
			before = bytesFloat(c.Before)
		}
	}
	codec = codec.Round(t.Assignment.Run, t.Assignment.Round)
	have, malformed := codec.Shard(shard).Chunk(t.Shards[place].Payload, last-first, (lo-first)/ChunkParams)
	if malformed != nil {
		return fmt.Errorf("payload of shard %d: %w", shard, malformed), nil
	}
	want, err := codec.At(int(c.Index)).EncodeChunk(nil, u, before, after)
	switch {
	case errors.Is(err, delta.ErrNotFinite), errors.Is(err, delta.ErrRange):
		return fmt.Errorf("codec chunk %d cannot be encoded: %w", c.Index, err), nil
	case err != nil:
		return nil, fmt.Errorf("codec chunk %d: %w", c.Index, err)
	case !slices.Equal(want, have):
		return fmt.Errorf("codec chunk %d of the payload is not what the states encode to", c.Index), nil
	case !slices.Equal(floatBytes(after), c.After):
		return fmt.Errorf("codec chunk %d leaves another error feedback than the one committed", c.Index), nil
	}
	return nil, nil
}

// checkCarried checks a chunk of a shard that was not to be trained: its parameters are as they were at the start, and its
// error feedback is as it was before, zeros if there was none.
func checkCarried(c *protocol.ChunkOpening, start []byte) error {
	if !bytes.Equal(c.Theta, start) {
		return fmt.Errorf("codec chunk %d is of a shard that was not to be trained, and its parameters changed", c.Index)
	}
	before := c.Before
	if len(before) == 0 {
		before = make([]byte, len(c.After))
	}
	if !bytes.Equal(before, c.After) {
		return fmt.Errorf("codec chunk %d is of a shard that was not to be trained, and its error feedback changed", c.Index)
	}
	return nil
}

// floatBytes returns v as little-endian binary32, 4 bytes each.
func floatBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// bytesFloat is the inverse of floatBytes; len(b) is a multiple of 4.
func bytesFloat(b []byte) []float32 {
	v := make([]float32, len(b)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v
}

package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"drystone/internal/delta"
	"drystone/protocol"
)

// Errors that an Opener or a Replayer returns to accuse the peer. Every other error of theirs is a failure of this
// machine or its network, which accuses nobody.
var (
	ErrWithheld  = errors.New("the peer did not open its contribution in time")
	ErrMalformed = errors.New("the peer's opening is not a valid message")
	ErrDiverged  = errors.New("the replayed step is not finite")
)

// Replayer replays training.
type Replayer interface {
	// Replay runs inner steps from+1 to to of an assignment, starting from N parameters theta and AdamW moments m and v of
	// those in the assigned shards (both nil for zeros, at step 0), and returns the state after step to. It leaves the
	// slices as they are. It returns ErrDiverged, wrapped, if a step gives NaN or infinity; any other error means that it
	// could not do the work. It is called by one goroutine at a time.
	Replay(ctx context.Context, a protocol.Assignment, theta, m, v []float32, from, to uint32) (protocol.TraceState, error)
}

// Opener asks the contributor under check for its states.
type Opener interface {
	// Open returns the contributor's answer. It returns ErrWithheld once the deadline of the check has passed without
	// one, and ErrMalformed for an answer that does not decode; both may be wrapped.
	Open(ctx context.Context, r protocol.OpenRequest) (*protocol.Opening, error)
}

// Tools is what a check works with.
type Tools struct {
	Replayer Replayer
	Opener   Opener
}

// Shard is one revealed shard of a contribution.
type Shard struct {
	Payload []byte
	Salt    [16]byte
}

// Task is one check: a contribution whose reveals were checked (Reveal.Check), and what a draw asks of it.
type Task struct {
	Spec       *protocol.RunSpec
	Run        protocol.Digest
	Params     int             // N, of the Genesis
	Model      protocol.Digest // Open.From, the root of Theta
	Commit     protocol.Signed[protocol.Commit]
	Start      protocol.TraceStart
	End        protocol.TraceEnd
	Assignment protocol.Assignment // Index is the peer's place in the roster, Shards what the Open gives it, Steps those of the commit
	Challenge  Challenge
	Theta      []float32 // that the round trains from, N values
	Shards     []Shard   // every assigned shard of the contribution, in order
}

// Check carries out one check and returns what it found, with the replayed state for StatesDigest (zero if there was
// nothing to replay).
//
// An error is a failure on this side: the context ended, the engine failed, a local copy is damaged. It is no outcome,
// so nobody is accused because the verifier's disk is full.
//
// A prefix check replays from theta_r and compares the end of the drawn segment, which everything before it enters; the
// opened state at its start is held to its place in the trace only.
//
// The replay comes before the codec although that is cheaper: a verdict's States then always prove work, also of one who
// finds a bad payload.
func Check(ctx context.Context, t *Task, tools Tools) (protocol.Outcome, protocol.TraceState, error) {
	var none protocol.TraceState
	if err := t.validate(); err != nil {
		return 0, none, fmt.Errorf("check: %w", err)
	}
	codec, err := delta.New(t.Spec.Codec)
	if err != nil {
		return 0, none, fmt.Errorf("check: %w", err)
	}
	if t.Start.Model != t.Model {
		return protocol.Malformed, none, nil
	}
	c := &t.Commit.Body
	o, err := tools.Opener.Open(ctx, protocol.OpenRequest{Run: t.Run, Round: c.Round, Segment: t.Challenge.Segment, Chunks: t.Challenge.Chunks})
	switch {
	case errors.Is(err, ErrWithheld):
		return protocol.Withheld, none, nil
	case errors.Is(err, ErrMalformed):
		return protocol.Malformed, none, nil
	case err != nil:
		return 0, none, fmt.Errorf("check of %s in round %d: open: %w", c.Peer.Short(), c.Round, err)
	}
	if o == nil {
		return 0, none, fmt.Errorf("check of %s in round %d: open: no answer and no error", c.Peer.Short(), c.Round)
	}
	if openingOf(t).check(o, true) != nil || !t.frozenKept(o) {
		return protocol.Malformed, none, nil
	}
	state, err := t.replay(ctx, o, tools.Replayer)
	switch {
	case errors.Is(err, ErrDiverged):
		return protocol.Mismatch, none, nil
	case err != nil:
		return 0, none, fmt.Errorf("check of %s in round %d: replay: %w", c.Peer.Short(), c.Round, err)
	case state != o.To:
		return protocol.Mismatch, state, nil
	}
	for i := range o.Chunks {
		bad, err := checkChunk(t, codec, &o.Chunks[i])
		if err != nil {
			return 0, none, fmt.Errorf("check of %s in round %d: codec: %w", c.Peer.Short(), c.Round, err)
		}
		if bad != nil {
			return protocol.BadPayload, state, nil
		}
	}
	return protocol.Passed, state, nil
}

// validate makes sure that a later difference is the peer's doing: it checks the local copies against their digests.
func (t *Task) validate() error {
	c := &t.Commit.Body
	own := t.Assignment.Shards
	shards := t.Spec.Codec.Owed(t.Params, own)
	switch {
	case c.Run != t.Run || t.Assignment.Run != t.Run || t.Assignment.Round != c.Round || t.Assignment.Steps != c.Steps:
		return fmt.Errorf("assignment of round %d, %d steps is not for commit of round %d, %d steps", t.Assignment.Round, t.Assignment.Steps, c.Round, c.Steps)
	case c.Steps < 1 || c.Steps > t.Spec.Train.Steps:
		return fmt.Errorf("commit of %d steps, want 1 to %d", c.Steps, t.Spec.Train.Steps)
	case t.Challenge.Segment >= t.Spec.Segments(c.Steps):
		return fmt.Errorf("segment %d of %d", t.Challenge.Segment, t.Spec.Segments(c.Steps))
	case len(t.Theta) != t.Params || len(t.Shards) != shards:
		return fmt.Errorf("%d parameters in %d shards, want %d in %d", len(t.Theta), len(t.Shards), t.Params, shards)
	}
	if err := t.Commit.Verify(); err != nil {
		return err
	}
	for _, i := range t.Challenge.Chunks {
		if i >= Chunks(t.Params) {
			return fmt.Errorf("codec chunk %d of %d", i, Chunks(t.Params))
		}
	}
	if got := protocol.MerkleRoot(floatBytes(t.Theta)); got != t.Model {
		return fmt.Errorf("local copy of theta has root %s, want %s: fetch it again", got.Short(), t.Model.Short())
	}
	leaves := make([]protocol.Digest, len(t.Shards))
	for i, s := range t.Shards {
		leaves[i] = protocol.PayloadLeaf(c.Peer, uint32(protocol.ShardAt(own, i)), s.Payload, s.Salt)
	}
	if protocol.RootOf(leaves) != t.End.Payload {
		return fmt.Errorf("local copy of the payload of %s is not what was revealed: fetch it again", c.Peer.Short())
	}
	return nil
}

// replay runs the drawn segment from the opened state, or, for prefix checks, everything up to its end from theta_r.
func (t *Task) replay(ctx context.Context, o *protocol.Opening, r Replayer) (protocol.TraceState, error) {
	from, to := SegmentSteps(t.Spec, t.Assignment.Steps, t.Challenge.Segment)
	if from == 0 || t.Spec.Verify.Kind == "prefix" {
		return r.Replay(ctx, t.Assignment, t.Theta, nil, nil, 0, to)
	}
	return r.Replay(ctx, t.Assignment, bytesFloat(o.Theta), bytesFloat(o.M), bytesFloat(o.V), from, to)
}

// frozenKept reports whether an opened theta, if there is one, is theta_r in the shards that were not to be trained.
func (t *Task) frozenKept(o *protocol.Opening) bool {
	if len(o.Theta) == 0 || len(t.Assignment.Shards) == 0 {
		return true
	}
	for i := range t.Spec.Codec.Shards(t.Params) {
		lo, hi := t.Spec.Codec.Shard(t.Params, i)
		if _, own := protocol.PlaceOf(t.Assignment.Shards, i); !own && !bytes.Equal(o.Theta[4*lo:4*hi], floatBytes(t.Theta[lo:hi])) {
			return false
		}
	}
	return true
}

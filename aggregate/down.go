package aggregate

import (
	"errors"
	"fmt"

	"drystone/internal/delta"
	"drystone/protocol"
)

// The way down (docs/protocol.md): of each shard the step s that theta would take is encoded with the error feedback e of
// the way down, and theta takes the decoded payload, here and at every trainer. So for a shard that somebody trained
//
//	payload = encode(fma(decay, e, s));  e' = what it leaves;  theta'[j] = theta[j] - value[j]
//
// where delta defines encode and what it leaves, and m, v are those of the outer optimiser, which sees no encoding. e lies in
// the outer state.

// ErrDown means that a payload of the way down cannot be applied.
var ErrDown = errors.New("aggregate: no payload of the way down")

// shardState is what a merge changes of one shard: slices of whole vectors, or of the shard's own.
type shardState struct {
	theta    []float32
	m, v     []float32 // of the optimiser; empty where it has none
	feedback []float32 // of the way down; empty where there is none
}

// stateOf returns the part of theta and the outer state that belongs to the parameters from lo to hi, which are a shard.
func stateOf(spec *protocol.RunSpec, theta, outer []float32, lo, hi int) shardState {
	n, moments := len(theta), spec.Outer.State(1)
	if spec.Codec.Down != "" { // then it lies shard by shard
		width := spec.OuterState(1)
		outer, n = outer[width*lo:width*hi], hi-lo
		return cutState(theta[lo:hi], outer, 0, n, n, moments)
	}
	return cutState(theta[lo:hi], outer, lo, hi, n, moments)
}

// cutState takes the values from lo to hi of each of the vectors of n values that outer is: moments of the optimiser, and the
// error feedback if there is more.
func cutState(theta, outer []float32, lo, hi, n, moments int) shardState {
	s := shardState{theta: theta}
	if moments > 0 {
		s.m = outer[lo:hi]
	}
	if moments > 1 {
		s.v = outer[n+lo : n+hi]
	}
	if len(outer) > moments*n {
		s.feedback = outer[moments*n+lo : moments*n+hi]
	}
	return s
}

// encodeStep encodes a shard's step; feedback becomes what the payload leaves of it.
func encodeStep(spec *protocol.RunSpec, step, feedback []float32) ([]byte, error) {
	codec, err := delta.New(spec.Codec.Downward())
	if err != nil {
		return nil, err
	}
	return codec.Encode(make([]byte, 0, codec.Size(len(step))), step, feedback)
}

// ApplyDown takes a shard from theta_r to theta_{r+1} by its payload of the way down, in place; an empty payload is that of a
// shard that does not change. The error wraps ErrDown and leaves theta as it was.
func ApplyDown(spec *protocol.RunSpec, theta []float32, payload []byte) error {
	if len(payload) == 0 {
		return nil
	}
	codec, err := delta.New(spec.Codec.Downward())
	if err == nil {
		err = codec.Validate(payload, len(theta))
	}
	if err == nil {
		err = codec.AddTo(theta, -1, payload)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDown, err)
	}
	return nil
}

// updates names the payloads of the way down; nil in runs without one.
func updates(spec *protocol.RunSpec, params int, payloads [][]byte) []protocol.ShardUpdate {
	all := spec.Codec.NoUpdates(params)
	for k := range all {
		all[k] = protocol.UpdateOf(payloads[k])
	}
	return all
}

// shardResultBase is a shardResult without an update, as it was before there was a way down.
type shardResultBase struct {
	_      struct{} `cbor:",toarray"`
	Model  protocol.Digest
	Outer  protocol.Digest
	Finite bool
}

type shardResultWhole struct {
	_      struct{} `cbor:",toarray"`
	Model  protocol.Digest
	Outer  protocol.Digest
	Finite bool
	Update protocol.ShardUpdate
}

// MarshalCBOR implements cbor.Marshaler.
func (r shardResult) MarshalCBOR() ([]byte, error) {
	if r.Update == (protocol.ShardUpdate{}) {
		return protocol.Encode(shardResultBase{Model: r.Model, Outer: r.Outer, Finite: r.Finite})
	}
	return protocol.Encode(shardResultWhole(r))
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (r *shardResult) UnmarshalCBOR(data []byte) error {
	const wholeHead = 0x84 // an array of 4
	if len(data) > 0 && data[0] == wholeHead {
		err := protocol.Decode(data, protocol.MaxMessage, (*shardResultWhole)(r))
		if err == nil && r.Update == (protocol.ShardUpdate{}) {
			err = errors.New("a shard's update is empty and not left out")
		}
		return err
	}
	var b shardResultBase
	err := protocol.Decode(data, protocol.MaxMessage, &b)
	*r = shardResult{Model: b.Model, Outer: b.Outer, Finite: b.Finite}
	return err
}

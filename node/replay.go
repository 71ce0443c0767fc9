package node

import (
	"context"
	"errors"
	"fmt"

	"drystone/aggregate"
	"drystone/protocol"
	"drystone/trainer"
	"drystone/verify"
)

// replayer lets package verify replay on a compute device.
type replayer struct{ device *trainer.Device }

// Replay implements verify.Replayer.
func (r replayer) Replay(ctx context.Context, a protocol.Assignment, theta, m, v []float32, from, to uint32) (protocol.TraceState, error) {
	s, err := r.device.Replay(ctx, a, trainer.State{Step: from, Theta: theta, M: m, V: v}, to)
	if errors.Is(err, trainer.ErrDiverged) {
		return protocol.TraceState{}, fmt.Errorf("%w: %w", verify.ErrDiverged, err)
	}
	if err != nil {
		return protocol.TraceState{}, err
	}
	return s.Trace(), nil
}

// mergeAgain is aggregate.Merge as an audit calls it.
func mergeAgain(spec *protocol.RunSpec, theta, outer []float32, contributions []verify.Contribution) (*verify.MergeResult, error) {
	in := make([]aggregate.Contribution, len(contributions))
	for i, c := range contributions {
		in[i] = aggregate.Contribution{Peer: c.Peer, Round: c.Round, Steps: c.Steps, Shards: c.Shards, Payloads: c.Payloads}
	}
	r, err := aggregate.MergeContext(context.Background(), spec, theta, outer, in)
	if err != nil {
		return nil, err
	}
	return &verify.MergeResult{Theta: r.Theta, Outer: r.Outer, Record: r.Record, Updates: r.Updates(spec)}, nil
}

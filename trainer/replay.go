package trainer

import (
	"context"
	"fmt"
	"slices"

	"drystone/protocol"
)

// Replay runs steps from.Step to to-1 of anyone's assignment from a state, which it does not change, and returns the
// state that follows. Errors are those of Train.
func (d *Device) Replay(ctx context.Context, a protocol.Assignment, from State, to uint32) (State, error) {
	var end State
	err := d.replay(ctx, a, from, to, func(s State) {
		end = State{s.Step, slices.Clone(s.Theta), slices.Clone(s.M), slices.Clone(s.V)}
	})
	return end, err
}

// ReplayOpening repeats what an opening of a drawn segment answers for and returns the segment's end as it should stand in
// the trace, to be compared with o.To. With prefix replay, and for segment 0, it starts from the public theta_r and
// ignores o, which may be nil; otherwise from the opened state, which the caller has checked against o.From. Errors are
// those of Train and ErrMalformed.
func (d *Device) ReplayOpening(ctx context.Context, a protocol.Assignment, segment uint32, theta []float32, o *protocol.Opening) (protocol.TraceState, error) {
	var end protocol.TraceState
	if err := d.fits(a, theta); err != nil {
		return end, err
	}
	if segments := d.spec.Segments(a.Steps); segment >= segments {
		return end, fmt.Errorf("%w: segment %d of %d", ErrAssignment, segment, segments)
	}
	from := StartState(theta)
	if segment > 0 && d.spec.Verify.Kind == "segment" {
		if o == nil {
			return end, fmt.Errorf("%w: no state opened for segment %d", ErrMalformed, segment)
		}
		var err error
		if from, err = OpenedState(o, d.params, d.spec.Codec.Trained(d.params, a.Shards)); err != nil {
			return end, err
		}
		if want := segment * d.spec.Train.Segment; from.Step != want {
			return end, fmt.Errorf("%w: state of step %d opened for segment %d, which starts at step %d", ErrMalformed, from.Step, segment, want)
		}
		if err := d.frozenKept(a.Shards, theta, from.Theta); err != nil {
			return end, err
		}
	}
	to := min((segment+1)*d.spec.Train.Segment, a.Steps)
	err := d.replay(ctx, a, from, to, func(s State) { end = s.Trace() })
	return end, err
}

// replay calls done with the device's own memory at the end.
func (d *Device) replay(ctx context.Context, a protocol.Assignment, from State, to uint32, done func(State)) error {
	if err := d.fits(a, from.Theta); err != nil {
		return err
	}
	n := d.spec.Codec.Trained(d.params, a.Shards)
	zeros := from.Step == 0 && len(from.M) == 0 && len(from.V) == 0
	if !zeros && (len(from.M) != n || len(from.V) != n) || from.Step > to || to > a.Steps {
		return fmt.Errorf("%w: moments of %d and %d values, want %d; steps %d to %d of %d", ErrAssignment, len(from.M), len(from.V), n, from.Step, to, a.Steps)
	}
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	if err := d.load(a, from); err != nil {
		return err
	}
	if err := d.advance(ctx, a, from.Step, to, nil); err != nil {
		return err
	}
	done(d.state(to))
	return nil
}

// Rehearse runs the first steps of an assignment from theta_r, as Train does, and keeps nothing of it: to see how fast this
// machine is. Errors are those of Train.
func (d *Device) Rehearse(ctx context.Context, a protocol.Assignment, theta []float32, steps uint32) error {
	if err := d.fits(a, theta); err != nil {
		return err
	}
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	if err := d.load(a, StartState(theta)); err != nil {
		return err
	}
	return d.advance(ctx, a, 0, min(steps, a.Steps), nil)
}

package trainer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"drystone/internal/delta"
	"drystone/protocol"
)

// recorder turns the states of a training, in order, into a contribution.
type recorder struct {
	c      *Contribution
	codec  delta.Codec
	theta  []float32 // that the round trains from
	opt    TrainOptions
	update []float32 // of the shard being encoded
}

func newRecorder(spec *protocol.RunSpec, codec delta.Codec, a protocol.Assignment, theta []float32, opt TrainOptions) (*recorder, error) {
	if opt.Salt == nil {
		return nil, fmt.Errorf("%w: no source of salts", ErrAssignment)
	}
	c := &Contribution{Assignment: a, Peer: opt.Peer, spec: spec, params: len(theta), box: memory{}}
	c.Start.Model = Root(theta)
	if opt.Store != nil {
		box, err := opt.Store.create(a)
		if err != nil {
			return nil, err
		}
		c.box = box
	}
	r := &recorder{c: c, codec: codec.Round(a.Run, a.Round), theta: theta, opt: opt}
	if opt.Await != nil {
		r.opt.Feedback = nil
		return r, nil
	}
	return r, r.standOn(opt.Feedback)
}

// standOn sets the error feedback of the contribution before, nil for zeros.
func (r *recorder) standOn(feedback []float32) error {
	r.opt.Feedback = feedback
	if feedback == nil {
		return nil
	}
	switch {
	case !r.codec.HasFeedback():
		return fmt.Errorf("%w: error feedback for a codec without", ErrAssignment)
	case len(feedback) != len(r.theta):
		return fmt.Errorf("%w: error feedback of %d values, the model has %d", ErrAssignment, len(feedback), len(r.theta))
	}
	r.c.Start.Feedback = Root(feedback)
	return r.c.box.put("before", floatBytes(feedback))
}

// segment records the state after the next segment. It keeps no memory of s.
func (r *recorder) segment(s State) error {
	c := r.c
	c.States = append(c.States, s.Trace())
	i := len(c.States)
	last := i == int(c.spec.Segments(c.Assignment.Steps))
	if !last && c.spec.Verify.Kind == "prefix" {
		return nil // replay starts from theta_r: only the last state is ever opened
	}
	if err := c.box.put(stateName("theta", i), floatBytes(s.Theta)); err != nil || last {
		return err
	}
	return errors.Join(c.box.put(stateName("m", i), floatBytes(s.M)), c.box.put(stateName("v", i), floatBytes(s.V)))
}

func stateName(vector string, segment int) string { return fmt.Sprintf("%s-%03d", vector, segment) }

// finishLate is finish once the error feedback is known.
func (r *recorder) finishLate(ctx context.Context, end []float32) (*Contribution, error) {
	feedback, err := r.opt.Await(ctx)
	if err == nil {
		err = r.standOn(feedback)
	}
	if err != nil {
		return nil, err
	}
	return r.finish(end)
}

// finish encodes theta_r - end, seals the trace and stores the record that makes the contribution count.
func (r *recorder) finish(end []float32) (*Contribution, error) {
	c := r.c
	if r.codec.HasFeedback() {
		c.After = make([]float32, len(end))
		copy(c.After, r.opt.Feedback)
	}
	for i := range c.spec.Codec.Owed(c.params, c.Assignment.Shards) {
		if err := r.encode(protocol.ShardAt(c.Assignment.Shards, i), end); err != nil {
			return nil, err
		}
	}
	leaves := c.payloadLeaves()
	c.End.Payload = protocol.RootOf(leaves)
	if c.After != nil {
		c.End.Feedback = Root(c.After)
		if err := c.box.put("after", floatBytes(c.After)); err != nil {
			return nil, err
		}
	}
	if r.opt.Store != nil {
		if err := r.opt.Store.seal(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// encode encodes theta_r - end in a shard into the next payload, with its salt.
func (r *recorder) encode(shard int, end []float32) error {
	c := r.c
	lo, hi := c.spec.Codec.Shard(c.params, shard)
	r.update = append(r.update[:0], r.theta[lo:hi]...)
	for i, x := range end[lo:hi] {
		r.update[i] -= x
	}
	var feedback []float32
	if c.After != nil {
		feedback = c.After[lo:hi]
	}
	codec := r.codec.Shard(shard)
	payload, err := codec.Encode(make([]byte, 0, codec.Size(hi-lo)), r.update, feedback)
	if errors.Is(err, delta.ErrNotFinite) || errors.Is(err, delta.ErrRange) {
		err = fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	if err != nil {
		return fmt.Errorf("encode shard %d: %w", shard, err)
	}
	salt, err := r.opt.Salt(uint32(shard))
	if err != nil {
		return fmt.Errorf("salt of shard %d: %w", shard, err)
	}
	if err := c.box.put(payloadName(shard), payload); err != nil {
		return err
	}
	c.Payloads, c.Salts = append(c.Payloads, slices.Clip(payload)), append(c.Salts, salt)
	return nil
}

func payloadName(shard int) string { return fmt.Sprintf("payload-%03d", shard) }

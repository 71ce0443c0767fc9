package trainer

import (
	"context"
	"fmt"
	"slices"

	"drystone/protocol"
)

// TrainOptions say for whom a contribution is made and what it stands on.
type TrainOptions struct {
	Peer protocol.PeerID // named in the payload leaves

	// Salt returns the salt that hides the payload of a shard until it is revealed. It must be unpredictable to others
	// and the same when asked again; KeySalt makes one.
	Salt func(shard uint32) ([16]byte, error)

	// Feedback is the error feedback of the peer's contribution to the round before, Contribution.After, if the RevealSet
	// of that round holds it. Otherwise it is nil, which stands for zeros. It is not changed. What belongs to shards that
	// are not assigned is carried over to the new one.
	Feedback []float32

	// Await, if not nil, is called after the last step, when the Device is free for others, and returns what Feedback, which
	// is then ignored, would be: in a run with train.delay the steps do not wait for the RevealSet that tells. Its error ends
	// Train.
	Await func(ctx context.Context) ([]float32, error)

	// Store keeps what openings need. Without one the contribution keeps it in memory.
	Store *ContributionStore

	// OnStep, if not nil, is called after each step, from 0, with its training loss, as Losses. It must
	// not wait for the Device, which is busy.
	OnStep func(step uint32, loss float32)
}

// KeySalt derives salts for TrainOptions from the peer's key by HKDF.
func KeySalt(key protocol.Key, run protocol.Digest, round uint32) func(shard uint32) ([16]byte, error) {
	return func(shard uint32) (salt [16]byte, err error) {
		b, err := key.Derive(fmt.Sprintf("salt/%s/%d/%d", run, round, shard), len(salt))
		if err != nil {
			return salt, err
		}
		copy(salt[:], b)
		return salt, nil
	}
}

// Train runs the steps of an assignment from the public start, theta_r or with a delay the theta before, which it does not
// change, and returns the contribution. It waits for its turn, and stops between steps when ctx is done. Errors: ErrDiverged,
// ErrAssignment, ErrClosed, ctx's, those of opt.Await, or the store's.
func (d *Device) Train(ctx context.Context, a protocol.Assignment, theta []float32, opt TrainOptions) (*Contribution, error) {
	if err := d.fits(a, theta); err != nil {
		return nil, err
	}
	rec, err := newRecorder(d.spec, d.codec, a, theta, opt)
	if err != nil {
		return nil, err
	}
	var c *Contribution
	if opt.Await == nil {
		err = d.record(ctx, a, theta, rec, func(end []float32) (err error) {
			c, err = rec.finish(end)
			return err
		})
		return c, err
	}
	var end []float32
	err = d.record(ctx, a, theta, rec, func(theta []float32) error {
		end = slices.Clone(theta)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rec.finishLate(ctx, end)
}

// record runs the steps of an assignment, records every segment, and calls done with the device's own memory at the end.
func (d *Device) record(ctx context.Context, a protocol.Assignment, theta []float32, rec *recorder, done func(end []float32) error) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer d.end()
	if err := d.load(a, StartState(theta)); err != nil {
		return err
	}
	onStep := func(step uint32, loss float32) {
		rec.c.Losses = append(rec.c.Losses, loss)
		if rec.opt.OnStep != nil {
			rec.opt.OnStep(step, loss)
		}
	}
	for from := uint32(0); from < a.Steps; {
		to := min(from+d.spec.Train.Segment, a.Steps)
		if err := d.advance(ctx, a, from, to, onStep); err != nil {
			return err
		}
		if err := rec.segment(d.state(to)); err != nil {
			return err
		}
		from = to
	}
	return done(d.plan.model.Params())
}

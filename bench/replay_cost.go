package main

import (
	"context"
	"fmt"
	"time"

	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

var replayCost = Figure{
	Name:  "replay-cost",
	What:  "time to check one drawn segment of the demonstration's model, against training one contribution",
	Unit:  "s",
	Limit: 5 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		d, err := newDevice(node.DemoSpec(1, 12, 4), e.Machine.Path, e.Threads)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		var c *trainer.Contribution
		train := func() (float64, error) {
			start := time.Now()
			c, err = d.train(ctx)
			return since(start), err
		}
		check := func() (float64, error) { return d.check(ctx, c) }
		t, err := e.takeTurns(ctx, 1, e.Runs(5), train, check)
		if err != nil {
			return nil, err
		}
		return []Row{{
			Stats: t.stats(1),
			Other: &Other{"training", *t.stats(0)},
			Busy:  t.busy,
			Note: fmt.Sprintf("a contribution is %d steps, a segment %d, of %d tokens each; both sides hash what they commit to or check",
				d.spec.Train.Steps, d.spec.Train.Segment, d.spec.TokensPerStep()),
		}}, nil
	},
}

// train makes one whole contribution: steps, trace and payload.
func (d *device) train(ctx context.Context) (*trainer.Contribution, error) {
	return d.Train(ctx, d.assignment(), d.theta, trainer.TrainOptions{
		Peer: d.spec.Founder,
		Salt: func(shard uint32) ([16]byte, error) { return [16]byte{byte(shard)}, nil },
	})
}

// check does what a verifier does with the opening of the last segment, which it times, and fails if it does not hold.
func (d *device) check(ctx context.Context, c *trainer.Contribution) (float64, error) {
	segment := d.spec.Segments(c.Assignment.Steps) - 1
	o, err := c.Open(protocol.OpenRequest{Run: d.run, Segment: segment, Chunks: []uint32{0, 100}})
	if err != nil {
		return 0, err
	}
	start := time.Now()
	from, err := trainer.OpenedState(o, d.Params(), d.Params())
	if err != nil {
		return 0, err
	}
	if from.Trace() != o.From {
		return 0, fmt.Errorf("the opened state is not the committed one")
	}
	to, err := d.ReplayOpening(ctx, c.Assignment, segment, d.theta, o)
	if err != nil {
		return 0, err
	}
	if to != o.To {
		return 0, fmt.Errorf("replay of an honest segment gave another state")
	}
	for i := range o.Chunks {
		if err := d.CheckChunk(c.Assignment.Round, d.theta, &o.Chunks[i], c.Payloads[d.ShardOf(o.Chunks[i].Index)]); err != nil {
			return 0, err
		}
	}
	return since(start), nil
}

package main

import (
	"context"
	"fmt"
	"time"

	"drystone/node"
	"drystone/protocol"
)

var delayLoss = Figure{
	Name:  "delay-loss",
	What:  "held-out loss of the demonstration's model and data with four peers whose rounds train from the state one merge older (train.delay = 1), against the same rounds without delay, and against half as many, which is what a delay would cost if it made every second round worthless",
	Unit:  "nats per byte",
	Needs: "minutes of training",
	Limit: 45 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		return e.delayLoss(ctx, node.DemoSpec(1, 12, 4), 64)
	},
}

// delayLoss plays runs of the spec with and without delay, for its outer learning rate and lower ones: an update that comes
// late is applied where another one has been already.
func (e *Env) delayLoss(ctx context.Context, spec protocol.RunSpec, sequences int) ([]Row, error) {
	play := func(delay, rounds uint32, rate float64) (float64, error) {
		s := spec
		s.Train.Delay, s.Train.Rounds, s.Outer.LR = delay, rounds, rate
		d, err := newDevice(s, e.Machine.Path, e.Threads)
		if err != nil {
			return 0, err
		}
		defer d.Close()
		e.Say("  %d rounds, delay %d, outer rate %g", rounds, delay, rate)
		r := newRounds(d, 4)
		for round := range rounds {
			if err := r.play(ctx, round, nil); err != nil {
				return 0, fmt.Errorf("round %d: %w", round, err)
			}
		}
		loss, err := d.Loss(ctx, r.theta, sequences)
		e.Say("    %.4f nats per byte", loss)
		return loss, err
	}
	rounds, rate := spec.Train.Rounds, spec.Outer.LR
	plain, err := play(0, rounds, rate)
	if err != nil {
		return nil, err
	}
	other := &Other{fmt.Sprintf("%d rounds without delay, outer rate %g", rounds, rate), *exactly(plain, 1)}
	var rows []Row
	for _, x := range []struct {
		delay, rounds uint32
		factor        float64
	}{{1, rounds, 1}, {1, rounds, 0.5}, {0, rounds / 2, 1}} {
		loss, err := play(x.delay, x.rounds, rate*x.factor)
		if err != nil {
			return rows, err
		}
		rows = append(rows, Row{Case: fmt.Sprintf("delay %d, %d rounds, outer rate %g", x.delay, x.rounds, rate*x.factor), Stats: exactly(loss, 1), Other: other,
			Note: fmt.Sprintf("rounds of %d steps", spec.Train.Steps)})
	}
	return rows, nil
}

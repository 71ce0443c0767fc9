package main

import (
	"context"
	"fmt"
	"time"

	"drystone/trainer"
)

// stepBatch and stepCount are the sequences of one step and the steps of one run of the step benchmarks.
const (
	stepBatch = 16
	stepCount = 4
)

var stepTokens = Figure{
	Name:  "step-tokens",
	What:  "training speed: forward, backward, clipping and AdamW of the Llama of 0.92 M parameters (4 layers of 128) with 16 sequences of 128",
	Unit:  "tokens/s",
	Timed: true,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, path := range vectorPaths() {
			d, err := newDemoDevice(path, e.Threads, stepBatch)
			if err != nil {
				return nil, err
			}
			samples, err := takeTurns(e.Runs(5)+1, func() (float64, error) { return d.stepSpeed(ctx) })
			d.Close()
			if err != nil {
				return nil, err
			}
			rows = append(rows, Row{
				Case:  fmt.Sprintf("%s, %d threads", path, e.Threads),
				Stats: summary(samples[0][1:]), // the first one warms up
				Note:  fmt.Sprintf("%d parameters, %d steps of %d tokens a run", d.Params(), stepCount, d.spec.TokensPerStep()),
			})
		}
		return rows, nil
	},
}

// stepSpeed runs stepCount steps and returns tokens per second.
func (d *demoDevice) stepSpeed(ctx context.Context) (float64, error) {
	zero := make([]float32, 2*d.Params())
	from := trainer.State{Theta: d.theta, M: zero[:d.Params()], V: zero[d.Params():]}
	start := time.Now()
	if _, err := d.Replay(ctx, d.assignment(), from, stepCount); err != nil {
		return 0, err
	}
	return float64(stepCount*d.spec.TokensPerStep()) / since(start), nil
}

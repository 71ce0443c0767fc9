package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"drystone/aggregate/replica/trial"
)

// restartRounds is how long the run is, and at which rounds sizes are taken.
const restartRounds = 10_000

var restartSizes = []uint32{1000, 5000, restartRounds}

var restartTime = Figure{
	Name: "restart-time",
	What: "a member's start with the data of a run of 10,000 rounds: its snapshot, the records since, the transparency log," +
		" and their roots compared",
	Unit:   "s",
	Target: Target{Of: "value", Cmp: "<", Bound: 5},
	Needs:  "a run of 10,000 rounds, minutes",
	Limit:  30 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		dir, err := os.MkdirTemp("", "restart")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(dir)
		run, sizes, err := trial.NewLongRun(ctx, dir, restartRounds, restartSizes)
		if err != nil {
			return nil, err
		}
		var samples []float64
		for range e.Runs(5) {
			took, err := run.Restart(ctx)
			if err != nil {
				return nil, err
			}
			samples = append(samples, took.Seconds())
		}
		note := "on disk"
		for _, s := range sizes {
			note += fmt.Sprintf("; at round %d: log and snapshots %s MB, transparency log %s MB", s.Round, number(float64(s.Log)/1e6), number(float64(s.Leaves)/1e6))
		}
		return []Row{{Stats: summary(samples), Note: note}}, nil
	},
}

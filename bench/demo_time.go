package main

import (
	"context"
	"time"
)

var demoTime = Figure{
	Name:   "demo-time",
	What:   "wall time of the whole demonstration after the build",
	Unit:   "s",
	Target: Target{Of: "value", Cmp: "<", Bound: 180},
	Needs:  "3 runs of the demonstration, minutes each",
	Limit:  15 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		runs, err := e.demos(ctx, e.Runs(3))
		if err != nil {
			return nil, err
		}
		var seconds []float64
		var busy float64
		for _, r := range runs {
			seconds, busy = append(seconds, r.WallSeconds), max(busy, r.busy)
		}
		return []Row{{Stats: summary(seconds), Busy: busy}}, nil
	},
}

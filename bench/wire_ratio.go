package main

import (
	"context"
	"fmt"
	"time"
)

var wireRatio = Figure{
	Name:   "wire-ratio",
	What:   "dense float32 bytes per byte that a trainer of the demonstration sends up in a round",
	Unit:   "times",
	Target: Target{Of: "value", Cmp: ">=", Bound: 20},
	Needs:  "a run of the demonstration, minutes",
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		runs, err := e.demos(ctx, 1)
		if err != nil {
			return nil, err
		}
		r := runs[0]
		return []Row{{
			Stats: exactly(float64(r.DenseBytes)/float64(r.BytesUp), 1),
			Note:  fmt.Sprintf("%d bytes sent per trainer and round, %d dense", r.BytesUp, r.DenseBytes),
		}}, nil
	},
}

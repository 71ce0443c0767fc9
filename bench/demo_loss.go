package main

import (
	"context"
	"fmt"
	"time"
)

var demoLoss = Figure{
	Name:   "demo-loss",
	What:   "held-out loss after the demonstration, against a byte bigram model on the same split",
	Unit:   "nats per byte",
	Target: Target{Of: "ratio", Cmp: "<", Bound: 1},
	Needs:  "a run of the demonstration, minutes",
	Limit:  10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		runs, err := e.demos(ctx, 1)
		if err != nil {
			return nil, err
		}
		r, n := runs[0], len(runs)
		return []Row{{
			Case:  "seed " + demoSeed,
			Stats: exactly(r.FinalLoss, n),
			Other: &Other{"byte bigram", *exactly(r.BigramLoss, n)},
			Note:  fmt.Sprintf("%d parameters, %d rounds, %d peers of which one cheats; state digest %s", r.Params, r.Rounds, r.Peers, r.StateDigest),
		}}, nil
	},
}

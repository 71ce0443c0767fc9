package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"drystone/node"
)

var demoVerifyShare = Figure{
	Name:  "demo-verify-share",
	What:  "tokens that spot checks of the demonstration replay, as a share of the tokens trained",
	Unit:  "of the tokens",
	Needs: "a run of the demonstration, minutes",
	Limit: 10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		runs, err := e.demos(ctx, 1)
		if err != nil {
			return nil, err
		}
		r := runs[0]
		spec := node.DemoSpec(1, r.Rounds, r.Peers)
		if spec.Verify.Kind != "segment" { // the tokens of a check then depend on the draw
			return nil, fmt.Errorf("the demonstration replays a %s per check, want a segment", spec.Verify.Kind)
		}
		perCheck := uint64(spec.Train.Segment) * spec.TokensPerStep()
		replayed, trained := uint64(r.SpotChecks)*perCheck, math.Round(r.TokensPerSec*r.WallSeconds)
		return []Row{{
			Stats: exactly(float64(replayed)/trained, 1),
			Note:  fmt.Sprintf("%d checks of %d tokens each, %.0f tokens trained; confirmations of failed checks are not counted", r.SpotChecks, perCheck, trained),
		}}, nil
	},
}

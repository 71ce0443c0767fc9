package main

import (
	"context"
	"fmt"

	"drystone/internal/speed"
	"drystone/node"
)

var stepTokens = Figure{
	Name:  "step-tokens",
	What:  "training speed of the two reference models: batch, forward, backward, clipping and AdamW of Llamas of 0.92 M parameters (4 layers of 128, 16 sequences of 128) and 10.8 M (6 layers of 384, 8 sequences of 256)",
	Unit:  "tokens/s",
	Timed: true,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, path := range vectorPaths() {
			for _, m := range speed.Models() {
				s, err := newStepper(path, m, e.Threads)
				if err != nil {
					return nil, err
				}
				samples, err := takeTurns(e.Runs(5)+1, func() (float64, error) { return s.TokensPerSecond(ctx, stepsOf(m)) })
				s.Close()
				if err != nil {
					return nil, err
				}
				rows = append(rows, Row{
					Case:  fmt.Sprintf("%s, %s, %d threads", m.Name, path, e.Threads),
					Stats: summary(samples[0][1:]), // the first one warms up
					Note:  fmt.Sprintf("%d parameters, %d steps of %d tokens a run", s.Params(), stepsOf(m), m.Rows()),
				})
			}
		}
		return rows, nil
	},
}

// stepsOf returns the steps of one run: about a second.
func stepsOf(m speed.Model) int { return max(2, 1<<17/m.Shape.Dim/m.Shape.Dim) }

func newStepper(path string, m speed.Model, threads int) (s *speed.Stepper, err error) {
	err = onPath(path, func() (err error) {
		s, err = speed.NewStepper(node.DefaultSpec(), m, threads)
		return err
	})
	return s, err
}

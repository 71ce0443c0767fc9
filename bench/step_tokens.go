package main

import (
	"context"
	"fmt"
	"time"

	"drystone/internal/speed"
	"drystone/node"
)

var stepTokens = Figure{
	Name:  "step-tokens",
	What:  "training speed of the two reference models: batch, forward, backward, clipping and AdamW of Llamas of 0.92 M parameters (4 layers of 128, 16 sequences of 128) and 10.8 M (6 layers of 384, 8 sequences of 256)",
	Unit:  "tokens/s",
	Limit: 10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, path := range vectorPaths() {
			for _, m := range speed.Models() {
				s, err := newStepper(path, m, e.Threads)
				if err != nil {
					return nil, err
				}
				t, err := e.takeTurns(ctx, 1, e.Runs(5), func() (float64, error) { return s.TokensPerSecond(ctx, stepsOf(m)) })
				s.Close()
				if err != nil {
					return rows, err
				}
				r := t.row(fmt.Sprintf("%s, %s", m.Name, path), "")
				r.Note = fmt.Sprintf("%d parameters, %d steps of %d tokens a run", s.Params(), stepsOf(m), m.Rows())
				rows = append(rows, r)
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

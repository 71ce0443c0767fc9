package main

import (
	"context"
	"fmt"
	"time"

	"drystone/internal/speed"
)

var stepPeak = Figure{
	Name:  "step-peak",
	What:  "operations per second of the training steps of step-tokens, counting those that the model needs (matrix products and attention), against the fused multiply-adds that the processor does without memory: the ratio is the share of the peak",
	Unit:  "GFLOP/s",
	Limit: 10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		if !speed.HasPeak(e.Machine.Path) {
			return nil, skipped(fmt.Sprintf("the peak of path %s is not measured", e.Machine.Path))
		}
		var rows []Row
		for _, m := range speed.Models() {
			r, err := e.stepOfPeak(ctx, m)
			if err != nil {
				return rows, err
			}
			rows = append(rows, r)
		}
		return rows, nil
	},
}

// heldBack says where the rest of the peak goes, as a profile of the steps shows it (go test -cpuprofile of
// BenchmarkStep in models).
const heldBack = "what holds it back, by a profile: most of the time is in the tiles of matrix products, which reach the share of the peak that gemm-gflops shows; the rest packs operands into panels, computes attention's softmax, norms, activations and AdamW, which do few operations per byte, or waits for the other thread at the end of a kernel. The smaller the model, the larger that rest"

func (e *Env) stepOfPeak(ctx context.Context, m speed.Model) (Row, error) {
	s, err := newStepper(e.Machine.Path, m, e.Threads)
	if err != nil {
		return Row{}, err
	}
	defer s.Close()
	step := func() (float64, error) {
		x, err := s.TokensPerSecond(ctx, stepsOf(m))
		return x * m.FLOP() / 1e9, err
	}
	t, err := e.takeTurns(ctx, 1, e.Runs(5), step, sure(func() float64 { return speed.Peak(e.Machine.Path, e.Threads) }))
	if err != nil {
		return Row{}, err
	}
	r := t.row(m.Name, "peak")
	r.Note = heldBack
	return r, nil
}

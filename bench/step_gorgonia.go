package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"drystone/internal/exact"
	"drystone/internal/speed"
	"drystone/models"
	"drystone/node"
)

var stepGorgonia = Figure{
	Name:    "step-vs-gorgonia",
	What:    "training speed of llama-1m as in step-tokens, against the same model made of Gorgonia's own operations, run by its tape machine",
	Unit:    "tokens/s",
	Target:  Target{Of: "ratio", Cmp: ">=", Bound: 15},
	Limit:   15 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) { return e.stepGorgonia(ctx, speed.Models()[0]) },
}

func (e *Env) stepGorgonia(ctx context.Context, m speed.Model) ([]Row, error) {
	ours, err := newStepper(e.Machine.Path, m, e.Threads)
	if err != nil {
		return nil, err
	}
	defer ours.Close()
	theirs, err := newStockStepper(m)
	if err != nil {
		return nil, err
	}
	defer theirs.close()
	t, err := e.takeTurns(ctx, 1, e.Runs(5),
		func() (float64, error) { return ours.TokensPerSecond(ctx, stepsOf(m)) },
		theirs.tokensPerSecond)
	if err != nil {
		return nil, err
	}
	r := t.row(m.Name, "Gorgonia")
	r.Note = fmt.Sprintf("the other side is gorgonia %s on gonum's BLAS, which takes as many threads as there are cores; attention is one batched product over all heads; AdamW, which it lacks, is a loop in Go; one step a run", moduleVersion("gorgonia.org/gorgonia"))
	return []Row{r}, nil
}

// stockStepper repeats the training step of a stock model on random tokens.
type stockStepper struct {
	*stock
	rng             *rand.Rand
	tokens, targets []int32
	h               exact.AdamWParams
}

func newStockStepper(m speed.Model) (*stockStepper, error) {
	s, err := newStock(m.Shape, m.Batch)
	if err != nil {
		return nil, err
	}
	theta, err := models.Init(m.Shape, [32]byte{1})
	if err != nil {
		return nil, err
	}
	s.load(theta)
	t := node.DefaultSpec().Train
	return &stockStepper{s, rand.New(rand.NewPCG(1, 2)), make([]int32, m.Rows()), make([]int32, m.Rows()), exact.AdamWParams{
		LR: float32(t.LR), Beta1: float32(t.Beta1), Beta2: float32(t.Beta2), Eps: float32(t.Eps), WeightDecay: float32(t.WeightDecay)}}, nil
}

// tokensPerSecond does one step.
func (s *stockStepper) tokensPerSecond() (float64, error) {
	start := time.Now()
	for i := range s.tokens {
		s.tokens[i], s.targets[i] = s.rng.Int32N(int32(s.spec.Vocab)), s.rng.Int32N(int32(s.spec.Vocab))
	}
	s.h.Step++
	if _, err := s.step(s.tokens, s.targets, 1, s.h); err != nil {
		return 0, err
	}
	return float64(len(s.tokens)) / since(start), nil
}

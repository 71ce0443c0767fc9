package main

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"time"

	"drystone/internal/speed"
)

//go:embed py/decoder.py
var decoderScript string

//go:embed py/step.py
var stepScript string

var stepPyTorch = Figure{
	Name:    "step-vs-pytorch",
	What:    "training speed as in step-tokens, against PyTorch eager on the same model, batch and threads",
	Unit:    "tokens/s",
	Target:  Target{Of: "ratio", Cmp: ">=", Bound: 2},
	Needs:   "a Python with torch (--python)",
	Limit:   15 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) { return e.stepAgainst(ctx, "eager") },
}

var stepCompiled = Figure{
	Name:    "step-vs-pytorch-compiled",
	What:    "training speed as in step-tokens, against PyTorch's fastest float32 mode on processors, torch.compile",
	Unit:    "tokens/s",
	Target:  Target{Of: "ratio", Cmp: ">=", Bound: 1.2},
	Needs:   "a Python with torch (--python) and a C++ compiler",
	Limit:   15 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) { return e.stepAgainst(ctx, "compiled") },
}

func (e *Env) stepAgainst(ctx context.Context, mode string) ([]Row, error) {
	var rows []Row
	for _, m := range speed.Models() {
		r, err := e.stepBeside(ctx, m, mode)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

func (e *Env) stepBeside(ctx context.Context, m speed.Model, mode string) (r Row, err error) {
	s, err := newStepper(e.Machine.Path, m, e.Threads)
	if err != nil {
		return r, err
	}
	defer s.Close()
	p, err := e.startPeer(ctx, decoderScript+stepScript, stepArgs(m, mode)...)
	if err != nil {
		return r, err
	}
	defer p.close()
	if p.hello.Params != s.Params() {
		return r, fmt.Errorf("the PyTorch model has %d parameters, ours %d", p.hello.Params, s.Params())
	}
	steps := stepsOf(m)
	ours := func() (float64, error) { return s.TokensPerSecond(ctx, steps) }
	theirs := func() (float64, error) {
		t, err := p.ask(fmt.Sprint(steps))
		return float64(steps*m.Rows()) / t, err
	}
	t, err := e.takeTurns(ctx, 2, e.Runs(9), ours, theirs)
	if err != nil {
		return r, err
	}
	product, err := p.ask("product")
	if err != nil {
		return r, err
	}
	r = t.row(m.Name, p.hello.What)
	r.Note = fmt.Sprintf("the other side is %s; its library multiplies matrices of 1024 at %.0f GFLOP/s here", p.hello.Version, 2*math.Pow(1024, 3)/product/1e9)
	return r, nil
}

// stepArgs are the arguments of step.py after the number of threads.
func stepArgs(m speed.Model, mode string) []string { return append([]string{mode}, shapeArgs(m)...) }

// shapeArgs describe a model to the scripts.
func shapeArgs(m speed.Model) (args []string) {
	s := m.Shape
	for _, n := range []int{s.Dim, s.Layers, s.Heads, s.FFN, s.Vocab, s.Context, m.Batch} {
		args = append(args, fmt.Sprint(n))
	}
	return args
}

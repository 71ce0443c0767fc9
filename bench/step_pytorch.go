package main

import (
	"context"
	_ "embed"
	"fmt"
)

//go:embed py/step.py
var stepScript string

var stepPyTorch = Figure{
	Name:  "step-vs-pytorch",
	What:  "training speed as in step-tokens, against PyTorch on the same model, batch and threads",
	Unit:  "tokens/s",
	Needs: "a Python with torch (--python)",
	Timed: true,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		d, err := newDemoDevice(e.Machine.Path, e.Threads, stepBatch)
		if err != nil {
			return nil, err
		}
		defer d.Close()
		p, err := e.startPeer(ctx, stepScript)
		if err != nil {
			return nil, err
		}
		defer p.close()
		if p.hello.Params != d.Params() {
			return nil, fmt.Errorf("the PyTorch model has %d parameters, ours %d", p.hello.Params, d.Params())
		}
		tokens := float64(stepCount * d.spec.TokensPerStep())
		ours := func() (float64, error) { return d.stepSpeed(ctx) }
		theirs := func() (float64, error) {
			s, err := p.ask(fmt.Sprint(stepCount))
			return tokens / s, err
		}
		if _, err := takeTurns(1, ours, theirs); err != nil { // warm up
			return nil, err
		}
		samples, err := takeTurns(e.Runs(9), ours, theirs)
		if err != nil {
			return nil, err
		}
		return []Row{{
			Case:  fmt.Sprintf("%s, %d threads", e.Machine.Path, e.Threads),
			Stats: summary(samples[0]),
			Other: &Other{p.hello.What, *summary(samples[1])},
			Note:  "the other side is " + p.hello.Version,
		}}, nil
	},
}

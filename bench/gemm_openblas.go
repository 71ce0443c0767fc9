package main

import (
	"context"
	_ "embed"
	"fmt"

	"drystone/internal/exact"
)

//go:embed py/gemm.py
var gemmScript string

var gemmOpenBLAS = Figure{
	Name:   "gemm-vs-openblas",
	What:   "exact float32 matrix product of squares, against OpenBLAS through numpy on the same threads",
	Unit:   "GFLOP/s",
	Target: Target{Of: "ratio", Cmp: ">=", Bound: 1},
	Needs:  "a Python with numpy (--python)",
	Timed:  true,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		p, err := e.startPeer(ctx, gemmScript)
		if err != nil {
			return nil, err
		}
		defer p.close()
		eng, err := exact.NewPath(e.Threads, e.Machine.Path)
		if err != nil {
			return nil, err
		}
		defer eng.Close()
		var rows []Row
		for _, n := range gemmSizes(eng.Path()) {
			ours := gemmSpeed(eng, n)
			theirs := func() (float64, error) {
				s, err := p.ask(fmt.Sprint(n))
				return gflop(n) / s, err
			}
			if _, err := takeTurns(1, ours, theirs); err != nil { // warm up
				return nil, err
			}
			samples, err := takeTurns(e.Runs(9), ours, theirs)
			if err != nil {
				return nil, err
			}
			rows = append(rows, Row{
				Case:  fmt.Sprintf("%s, %d, %d threads", eng.Path(), n, e.Threads),
				Stats: summary(samples[0]),
				Other: &Other{p.hello.What, *summary(samples[1])},
			})
		}
		rows[0].Note = "the other side is " + p.hello.Version
		return rows, nil
	},
}

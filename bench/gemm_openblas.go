package main

import (
	"context"
	_ "embed"
	"fmt"

	"drystone/internal/exact"
	"drystone/internal/speed"
)

//go:embed py/gemm.py
var gemmScript string

var gemmOpenBLAS = Figure{
	Name:   "gemm-vs-openblas",
	What:   "exact float32 matrix products, squares and every shape of the two reference models (y, dx and dw of each layer), against OpenBLAS through numpy on the same threads",
	Unit:   "GFLOP/s",
	Target: Target{Of: "ratio", Cmp: ">=", Bound: 0.95},
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
		products := squares(eng.Path())
		for _, m := range speed.Models() {
			products = append(products, m.Products()...)
		}
		for _, x := range products {
			e.Say("  %s", x.Name)
			ours := sure(x.Speed(eng))
			theirs := func() (float64, error) {
				s, err := p.ask(fmt.Sprintf("%d %d %d %t %t", x.M, x.N, x.K, x.TransA, x.TransB))
				return x.GFLOP() / s, err
			}
			if _, err := takeTurns(1, ours, theirs); err != nil { // warm up
				return nil, err
			}
			samples, err := takeTurns(e.Runs(7), ours, theirs)
			if err != nil {
				return nil, err
			}
			rows = append(rows, Row{
				Case:  fmt.Sprintf("%s, %s (%dx%dx%d), %d threads", eng.Path(), x.Name, x.M, x.N, x.K, e.Threads),
				Stats: summary(samples[0]),
				Other: &Other{p.hello.What, *summary(samples[1])},
			})
		}
		rows[0].Note = "the other side is " + p.hello.Version
		return rows, nil
	},
}

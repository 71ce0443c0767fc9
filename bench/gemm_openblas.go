package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

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
	Limit:  15 * time.Minute,
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
			t, err := e.takeTurns(ctx, 1, e.Runs(7), ours, theirs)
			if err != nil {
				return rows, err
			}
			rows = append(rows, t.row(fmt.Sprintf("%s (%dx%dx%d)", x.Name, x.M, x.N, x.K), p.hello.What))
		}
		rows[0].Note = "the other side is " + p.hello.Version
		return rows, nil
	},
}

package main

import (
	"context"
	"fmt"

	"drystone/internal/exact"
	"drystone/internal/speed"
)

var gemmGflops = Figure{
	Name:  "gemm-gflops",
	What:  "exact float32 matrix product of squares, against the fused multiply-adds that the processor does without memory",
	Unit:  "GFLOP/s",
	Timed: true,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, path := range vectorPaths() {
			got, err := gemmRows(ctx, e, path)
			if err != nil {
				return nil, err
			}
			rows = append(rows, got...)
		}
		return rows, nil
	},
}

func gemmRows(ctx context.Context, e *Env, path string) (rows []Row, err error) {
	eng, err := exact.NewPath(e.Threads, path)
	if err != nil {
		return nil, err
	}
	defer eng.Close()
	for _, p := range squares(path) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sides := []func() (float64, error){sure(p.Speed(eng))}
		if speed.HasPeak(path) {
			sides = append(sides, func() (float64, error) { return speed.Peak(path, e.Threads), nil })
		}
		samples, err := takeTurns(e.Runs(9), sides...)
		if err != nil {
			return nil, err
		}
		r := Row{Case: fmt.Sprintf("%s, %s, %d threads", path, p.Name, e.Threads), Stats: summary(samples[0])}
		if len(samples) > 1 {
			r.Other = &Other{"peak", *summary(samples[1])}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// squares are the square products that are measured on a path.
func squares(path string) []speed.Product {
	if path == exact.PathRef {
		return speed.Squares(256)
	}
	return speed.Squares(256, 512, 768, 1024, 1536, 2048)
}

// sure makes a side of takeTurns from a measurement that cannot fail.
func sure(f func() float64) func() (float64, error) {
	return func() (float64, error) { return f(), nil }
}

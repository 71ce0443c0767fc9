package main

import (
	"context"
	"fmt"
	"time"

	"drystone/internal/exact"
	"drystone/internal/speed"
)

var gemmGflops = Figure{
	Name:  "gemm-gflops",
	What:  "exact float32 matrix product of squares, against the fused multiply-adds that the processor does without memory",
	Unit:  "GFLOP/s",
	Limit: 10 * time.Minute,
	Measure: func(ctx context.Context, e *Env) ([]Row, error) {
		var rows []Row
		for _, path := range vectorPaths() {
			got, err := gemmRows(ctx, e, path)
			rows = append(rows, got...)
			if err != nil {
				return rows, err
			}
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
		sides, peak := []side{sure(p.Speed(eng))}, ""
		if speed.HasPeak(path) {
			sides, peak = append(sides, sure(func() float64 { return speed.Peak(path, e.Threads) })), "peak"
		}
		t, err := e.takeTurns(ctx, 0, e.Runs(9), sides...)
		if err != nil {
			return rows, err
		}
		rows = append(rows, t.row(fmt.Sprintf("%s, %s", path, p.Name), peak))
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

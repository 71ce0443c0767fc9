package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"drystone/internal/exact"
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
	for _, n := range gemmSizes(path) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sides := []func() (float64, error){gemmSpeed(eng, n)}
		if hasPeak(path) {
			sides = append(sides, func() (float64, error) { return peakSpeed(path, e.Threads), nil })
		}
		samples, err := takeTurns(e.Runs(9), sides...)
		if err != nil {
			return nil, err
		}
		r := Row{Case: fmt.Sprintf("%s, %d, %d threads", path, n, e.Threads), Stats: summary(samples[0])}
		if len(samples) > 1 {
			r.Other = &Other{"peak", *summary(samples[1])}
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// gemmSizes are the sides of the squares.
func gemmSizes(path string) []int {
	if path == exact.PathRef {
		return []int{256}
	}
	return []int{256, 512, 768, 1024}
}

// gflop is the work of one product of n x n matrices.
func gflop(n int) float64 { return 2 * float64(n) * float64(n) * float64(n) / 1e9 }

// gemmSpeed returns a measurement of n x n products in GFLOP/s, warmed up.
func gemmSpeed(eng *exact.Engine, n int) func() (float64, error) {
	a, b, c := normals(n*n), normals(n*n), make([]float32, n*n)
	once := func() { eng.Gemm(false, false, n, n, n, a, n, b, n, c, n, false) }
	once()
	return func() (float64, error) { return gflop(n) / perCall(once), nil }
}

// normals returns n normally distributed numbers, always the same.
func normals(n int) []float32 {
	rng := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
	return x
}

package main

import "sync"

// peakKernel is a loop of fused multiply-adds on registers.
type peakKernel struct {
	run   func(n int, x *float32)
	flops float64 // per round
}

// hasPeak says whether there is such a loop for a code path here.
func hasPeak(path string) bool { return peakFor(path).run != nil }

// peakSpeed returns the GFLOP/s of so many threads at once.
func peakSpeed(path string, threads int) float64 {
	const rounds = 1 << 18
	k, x := peakFor(path), float32(0.5)
	s := perCall(func() {
		var wg sync.WaitGroup
		for range threads {
			wg.Go(func() { k.run(rounds, &x) })
		}
		wg.Wait()
	})
	return k.flops * rounds * float64(threads) / s / 1e9
}

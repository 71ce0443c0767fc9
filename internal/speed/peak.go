package speed

import "sync"

// peakKernel is a loop of fused multiply-adds on registers.
type peakKernel struct {
	run   func(n int, x *float32)
	flops float64 // per round
}

// HasPeak says whether there is such a loop for a code path here.
func HasPeak(path string) bool { return peakFor(path).run != nil }

// Peak returns the GFLOP/s of so many threads at once.
func Peak(path string, threads int) float64 {
	const rounds = 1 << 18
	k, x := peakFor(path), float32(0.5)
	s := PerCall(func() {
		var wg sync.WaitGroup
		for range threads {
			wg.Go(func() { k.run(rounds, &x) })
		}
		wg.Wait()
	})
	return k.flops * rounds * float64(threads) / s / 1e9
}

package speed

import "drystone/internal/exact"

// neonPeak does n rounds of 24 independent fused multiply-adds by *x, on full registers.
func neonPeak(n int, x *float32)

// peakFor returns the loop of a code path that this processor has.
func peakFor(path string) peakKernel {
	if path == exact.PathNEON {
		return peakKernel{neonPeak, 24 * 4 * 2}
	}
	return peakKernel{}
}

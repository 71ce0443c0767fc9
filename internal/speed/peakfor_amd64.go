package speed

import "drystone/internal/exact"

//go:generate go run peak_gen.go -out peak_amd64.s -stubs peak_amd64.go -pkg speed

// peakFor returns the loop of a code path that this processor has.
func peakFor(path string) peakKernel {
	switch path {
	case exact.PathAVX2:
		return peakKernel{avx2Peak, 12 * 8 * 2}
	case exact.PathAVX512:
		return peakKernel{avx512Peak, 24 * 16 * 2}
	default:
		return peakKernel{}
	}
}

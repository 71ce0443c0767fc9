//go:build !amd64 && !arm64

package speed

// peakFor has no loop on this processor.
func peakFor(string) peakKernel { return peakKernel{} }

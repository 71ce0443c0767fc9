package speed

import "time"

// window is the least time that one measurement of something short takes, so that the clock does not matter.
const window = 50 * time.Millisecond

// PerCall calls f until a window has passed and returns the mean seconds per call. A window before that, in which threads
// come to processors of their own after a rest, does not count.
func PerCall(f func()) float64 {
	perCall(f)
	return perCall(f)
}

func perCall(f func()) float64 {
	start := time.Now()
	for n := 1; ; n++ {
		f()
		if d := time.Since(start); d >= window {
			return d.Seconds() / float64(n)
		}
	}
}

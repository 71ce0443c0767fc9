package delta

import (
	"fmt"
	"math"
)

// refinements is the number of least-squares steps of the scale.
const refinements = 4

// quantise returns the binary16 scale for the chosen entries of acc, and those of them that are kept, a prefix of
// chosen's memory. The scale is 0 if none is. Steps 3 and 4 of the package comment.
func quantise(chosen []uint16, acc []float32) (scale uint16, kept []uint16, err error) {
	if len(chosen) == 0 {
		return 0, nil, nil
	}
	s := mean(chosen, acc)
	for range refinements {
		s = refine(s, chosen, acc)
	}
	scale = toHalf(s)
	if scale == 0 {
		return 0, nil, nil
	}
	rounded := float64(fromHalf(min(scale, maxHalf)))
	kept, least := chosen[:0], math.Inf(1)
	for _, at := range chosen {
		if x := magnitude(acc[at]); !isDropped(x, rounded) {
			kept = append(kept, at)
			least = min(least, x)
		}
	}
	if len(kept) == 0 {
		return 0, nil, nil
	}
	// One entry must be low: doubling the scale turns high into low and decodes to the same value.
	for scale <= maxHalf && isHigh(least, float64(fromHalf(scale))) {
		scale = double(scale)
	}
	if scale > maxHalf {
		return 0, nil, fmt.Errorf("%w: mean magnitude %v", ErrRange, s)
	}
	return scale, kept, nil
}

func magnitude(x float32) float64 { return math.Abs(float64(x)) }

func isDropped(x, scale float64) bool { return x < scale/2 }

func isHigh(x, scale float64) bool { return x >= scale*1.5 }

// mean returns the mean magnitude of the chosen entries; there is at least one.
func mean(chosen []uint16, acc []float32) float64 {
	var sum float64
	for _, at := range chosen {
		sum += magnitude(acc[at])
	}
	return sum / float64(len(chosen))
}

// refine returns the least-squares scale for the classes that s makes, or s if it drops everything.
func refine(s float64, chosen []uint16, acc []float32) float64 {
	var sumLow, sumHigh float64
	low, high := 0, 0
	for _, at := range chosen {
		switch x := magnitude(acc[at]); {
		case isDropped(x, s):
		case isHigh(x, s):
			sumHigh += x
			high++
		default:
			sumLow += x
			low++
		}
	}
	if low+high == 0 {
		return s
	}
	return (sumLow + float64(2*sumHigh)) / float64(low+4*high)
}

package attack

import (
	"math"
	"slices"
)

// referenceAngle is between the lie and straight back, in radians: most of it is orthogonal to the honest direction, where
// the honest do not pull it back.
const referenceAngle = math.Pi / 3

var clippingReference = Attack{
	Name:     "clipping-reference",
	What:     "against centered clipping: all stand just within the clipping radius of its reference, backwards and aside",
	After:    "Özfatura et al. 2023, with the honest mean for the reference",
	Adaptive: true,
	New: func() Liars {
		var aside []float64 // kept, so that what it does adds up over rounds
		return func(s *Sight) ([][]float32, error) {
			mean, _ := moments(s.Honest)
			length := norm(mean)
			if aside == nil {
				aside = unit(s.Rand, len(mean))
			}
			var along float64
			for j, x := range mean {
				along += aside[j] * x / max(length, math.SmallestNonzeroFloat64)
			}
			direction := make([]float64, len(mean))
			for j, x := range mean {
				back := x / max(length, math.SmallestNonzeroFloat64)
				direction[j] = aside[j] - along*back
			}
			side := norm(direction)
			for j, x := range mean {
				back := x / max(length, math.SmallestNonzeroFloat64)
				direction[j] = math.Sin(referenceAngle)*direction[j]/max(side, math.SmallestNonzeroFloat64) - math.Cos(referenceAngle)*back
			}
			return same(plus(mean, radius(mean, s.Honest), direction), s.Count), nil
		}
	},
}

// radius is the median distance of the honest from their mean.
func radius(mean []float64, honest [][]float32) float64 {
	at := plus(mean, 0, mean)
	var d []float64
	for _, x := range honest {
		d = append(d, math.Sqrt(distance2(x, at)))
	}
	slices.Sort(d)
	return d[len(d)/2]
}

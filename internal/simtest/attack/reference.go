package attack

import (
	"math"
	"slices"
)

var clippingReference = Attack{
	Name:     "clipping-reference",
	What:     "against centered clipping: all stand at the edge of what it does not clip, straight behind its reference",
	After:    "Özfatura et al. 2023, with the honest mean for the reference and without turning aside, which harms less here",
	Adaptive: true,
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			mean, _ := moments(s.Honest)
			back := -radius(mean, s.Honest) / max(norm(mean), math.SmallestNonzeroFloat64)
			return same(plus(mean, back, mean), s.Count), nil
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

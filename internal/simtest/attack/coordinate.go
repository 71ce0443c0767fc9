package attack

import "math"

var singleCoordinate = Attack{
	Name:     "single-coordinate",
	What:     "the honest mean but for the parameter on which they agree most strongly: all the distance that the honest have among themselves goes there, backwards",
	After:    "El Mhamdi et al. 2018, section 3",
	Adaptive: true,
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			mean, _ := moments(s.Honest)
			at, bound := 0, 0.0
			for j, x := range mean {
				if math.Abs(x) > math.Abs(mean[at]) {
					at = j
				}
			}
			for i, x := range s.Honest {
				for _, y := range s.Honest[:i] {
					bound = max(bound, distance2(x, y))
				}
			}
			lie := plus(mean, 0, mean)
			lie[at] -= float32(math.Copysign(math.Sqrt(bound), mean[at]))
			return same(lie, s.Count), nil
		}
	},
}

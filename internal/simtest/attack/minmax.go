package attack

// searchSteps halve the interval of the search for the largest lie.
const searchSteps = 20

var minMax = Attack{
	Name:     "min-max",
	What:     "as far from the honest mean, against their deviations, as the two honest furthest apart are from each other",
	After:    "Shejwalkar and Houmansadr 2021, section IV-B",
	Adaptive: true,
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			bound := 0.0
			for i, x := range s.Honest {
				for _, y := range s.Honest[:i] {
					bound = max(bound, distance2(x, y))
				}
			}
			return same(furthest(s.Honest, func(u []float32) bool {
				for _, x := range s.Honest {
					if distance2(u, x) > bound {
						return false
					}
				}
				return true
			}), s.Count), nil
		}
	},
}

var minSum = Attack{
	Name:     "min-sum",
	What:     "as far from the honest mean, against their deviations, as leaves its distances to all in sum below the worst honest one's",
	After:    "Shejwalkar and Houmansadr 2021, section IV-C",
	Adaptive: true,
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			bound := 0.0
			for _, x := range s.Honest {
				bound = max(bound, distances(x, s.Honest))
			}
			return same(furthest(s.Honest, func(u []float32) bool { return distances(u, s.Honest) <= bound }), s.Count), nil
		}
	},
}

func distances(u []float32, rows [][]float32) (sum float64) {
	for _, x := range rows {
		sum += distance2(u, x)
	}
	return sum
}

// furthest returns mean - gamma*deviation with the largest gamma that passes, found by doubling and halving.
func furthest(honest [][]float32, passes func(u []float32) bool) []float32 {
	mean, deviation := moments(honest)
	low, high := 0.0, 1.0
	for passes(plus(mean, -high, deviation)) && high < 1e6 {
		low, high = high, 2*high
	}
	for range searchSteps {
		if middle := (low + high) / 2; passes(plus(mean, -middle, deviation)) {
			low = middle
		} else {
			high = middle
		}
	}
	return plus(mean, -low, deviation)
}

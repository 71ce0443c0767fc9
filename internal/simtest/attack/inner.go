package attack

// innerEpsilon keeps the lie short: shorter than the honest mean, so that it hides among them.
const innerEpsilon = 0.5

var innerProduct = Attack{
	Name:     "inner-product",
	What:     "inner-product manipulation: all send minus half of the honest mean",
	After:    "Xie et al. 2020",
	Adaptive: true,
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			mean, _ := moments(s.Honest)
			return same(plus(make([]float64, len(mean)), -innerEpsilon, mean), s.Count), nil
		}
	},
}

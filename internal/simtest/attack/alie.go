package attack

import "math"

var littleIsEnough = Attack{
	Name:     "alie",
	What:     "a little is enough: as many deviations from the honest mean as still leave some honest further out",
	After:    "Baruch et al. 2019, algorithm 3",
	Adaptive: true,
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			mean, deviation := moments(s.Honest)
			return same(plus(mean, -deviations(len(s.Honest)+s.Count, s.Count), deviation), s.Count), nil
		}
	},
}

// deviations is z_max for n contributors of whom f lie: with s = n/2 + 1 - f honest supporters to win, the quantile of the
// normal distribution at (n-f-s)/(n-f).
func deviations(n, f int) float64 {
	supporters := max(1, n/2+1-f)
	p := float64(n-f-supporters) / float64(n-f)
	p = min(max(p, 0.5), 0.999)
	return math.Sqrt2 * math.Erfinv(2*p-1)
}

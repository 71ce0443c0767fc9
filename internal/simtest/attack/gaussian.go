package attack

// gaussianTimes is how long the noise is, in median honest norms.
const gaussianTimes = 10

var gaussian = Attack{
	Name:  "gaussian",
	What:  "each sends Gaussian noise ten times as long as an honest update",
	After: "Blanchard et al. 2017",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			zero, length := make([]float64, len(s.Theta)), gaussianTimes*medianNorm(s.Honest)
			out := make([][]float32, s.Count)
			for i := range out {
				out[i] = plus(zero, length, unit(s.Rand, len(zero)))
			}
			return out, nil
		}
	},
}

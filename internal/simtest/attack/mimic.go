package attack

var mimic = Attack{
	Name:     "mimic",
	What:     "all copy one honest contributor, always the same: the one furthest out along the direction in which the honest differ most",
	After:    "Karimireddy et al. 2022, section 4.2",
	Adaptive: true,
	New: func() Liars {
		var direction []float64 // of most variance, by one step of Oja's rule per round, as in the paper
		victim := 0
		return func(s *Sight) ([][]float32, error) {
			mean, _ := moments(s.Honest)
			if direction == nil {
				direction = unit(s.Rand, len(mean))
			}
			next, best := make([]float64, len(mean)), -1.0
			for i, row := range s.Honest {
				var along float64
				for j, x := range row {
					along += (float64(x) - mean[j]) * direction[j]
				}
				for j, x := range row {
					next[j] += along * (float64(x) - mean[j])
				}
				if along > best && s.Round < mimicWarmup {
					best, victim = along, i
				}
			}
			if length := norm(next); length > 0 {
				for j := range next {
					direction[j] = next[j] / length
				}
			}
			return same(s.Honest[victim%len(s.Honest)], s.Count), nil
		}
	},
}

// mimicWarmup is the rounds in which the victim may still change.
const mimicWarmup = 3

package attack

// constantTimes is how long the constant update is, in median honest norms.
const constantTimes = 2

var constantDirection = Attack{
	Name: "constant-direction",
	What: "all send the same random direction in every round, twice as long as an honest update",
	New: func() Liars {
		var direction []float64
		return func(s *Sight) ([][]float32, error) {
			if direction == nil {
				direction = unit(s.Rand, len(s.Theta))
			}
			zero := make([]float64, len(direction))
			return same(plus(zero, constantTimes*medianNorm(s.Honest), direction), s.Count), nil
		}
	},
}

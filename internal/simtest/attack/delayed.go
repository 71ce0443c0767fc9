package attack

// delayRounds is how old the update is; younger in the first rounds.
const delayRounds = 5

var delayedGradient = Attack{
	Name: "delayed-gradient",
	What: "trains honestly and sends what it had five rounds ago",
	New: func() Liars {
		var past [][][]float32
		return func(s *Sight) ([][]float32, error) {
			own, err := s.Train(Job{})
			if err != nil {
				return nil, err
			}
			past = append(past, own)
			return past[max(0, len(past)-1-delayRounds)], nil
		}
	},
}

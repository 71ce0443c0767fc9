package attack

import "slices"

// staleRounds is how old the start is; younger in the first rounds.
const staleRounds = 5

var staleStart = Attack{
	Name: "stale-start",
	What: "trains from the parameters of five rounds ago and sends what leads from today's to where it ended",
	New: func() Liars {
		var past [][]float32
		return func(s *Sight) ([][]float32, error) {
			past = append(past, slices.Clone(s.Theta))
			start := past[max(0, len(past)-1-staleRounds)]
			out, err := s.Train(Job{Start: start})
			if err != nil {
				return nil, err
			}
			for i, u := range out {
				own := make([]float32, len(u))
				for j, x := range u {
					own[j] = s.Theta[j] - start[j] + x
				}
				out[i] = own
			}
			return out, nil
		}
	},
}

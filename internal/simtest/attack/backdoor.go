package attack

var backdoor = Attack{
	Name:  "backdoor",
	What:  "trains on its data with a trigger strewn in that a chosen byte follows, and sends twice what comes of it",
	After: "Bagdasaryan et al. 2020",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			out, err := s.Train(Job{Data: Trapped})
			if err != nil {
				return nil, err
			}
			for i, u := range out {
				out[i] = scaled(u, backdoorBoost)
			}
			return out, nil
		}
	},
}

// backdoorBoost makes up for the honest in the mean and stays within a norm cap of three medians.
const backdoorBoost = 2

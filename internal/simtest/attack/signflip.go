package attack

var signFlip = Attack{
	Name: "sign-flip",
	What: "trains honestly and sends the opposite",
	New:  func() Liars { return flip(-1) },
}

var signFlipLarge = Attack{
	Name: "sign-flip-1000",
	What: "trains honestly and sends a thousand times the opposite",
	New:  func() Liars { return flip(-1000) },
}

func flip(by float64) Liars {
	return func(s *Sight) ([][]float32, error) {
		out, err := s.Train(Job{})
		if err != nil {
			return nil, err
		}
		for i, u := range out {
			out[i] = scaled(u, by)
		}
		return out, nil
	}
}

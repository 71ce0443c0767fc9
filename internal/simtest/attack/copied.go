package attack

var copiedUpdate = Attack{
	Name: "copied-update",
	What: "each sends another honest contributor's update as its own",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) {
			out := make([][]float32, s.Count)
			for i := range out {
				out[i] = s.Honest[(i+int(s.Round))%len(s.Honest)]
			}
			return out, nil
		}
	},
}

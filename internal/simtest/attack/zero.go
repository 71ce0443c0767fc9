package attack

var zeroWork = Attack{
	Name: "zero-work",
	What: "sends zeros and claims all steps",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) { return same(make([]float32, len(s.Theta)), s.Count), nil }
	},
}

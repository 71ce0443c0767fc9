package attack

var skippedSteps = Attack{
	Name: "skipped-steps",
	What: "trains one step and claims all",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) { return s.Train(Job{Steps: 1}) }
	},
}

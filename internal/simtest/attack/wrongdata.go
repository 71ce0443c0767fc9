package attack

var wrongData = Attack{
	Name: "wrong-data",
	What: "trains on random bytes in place of what it was assigned",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) { return s.Train(Job{Data: Random}) }
	},
}

package attack

var labelFlip = Attack{
	Name: "label-flip",
	What: "trains on its data with every second byte b turned into 255-b",
	New: func() Liars {
		return func(s *Sight) ([][]float32, error) { return s.Train(Job{Data: Flipped}) }
	},
}

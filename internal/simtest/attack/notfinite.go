package attack

import (
	"math"
	"slices"
)

var infinity = Attack{
	Name: "infinity",
	What: "sends infinities",
	New:  func() Liars { return fill(float32(math.Inf(1))) },
}

var notANumber = Attack{
	Name: "nan",
	What: "sends NaN",
	New:  func() Liars { return fill(float32(math.NaN())) },
}

func fill(x float32) Liars {
	return func(s *Sight) ([][]float32, error) {
		return same(slices.Repeat([]float32{x}, len(s.Theta)), s.Count), nil
	}
}

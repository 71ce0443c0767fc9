package f64

import "math"

// Error says how far a float32 result is from its float64 value. Max and RMS are
// in units of 2^-24, half of the distance of float32 numbers just above 1.
type Error struct {
	ULP float64 // largest error of an element in units of its own last place
	Max float64 // largest error over the largest magnitude
	RMS float64 // root of the mean squared error over that of the values
}

// Compare measures got against want, of the same length. A NaN on one side only
// is an infinite error. ULP means little where elements are sums that cancel.
func Compare(got []float32, want []float64) Error {
	var worst, largest, square, size, ulp float64
	for i, w := range want {
		d := math.Abs(float64(got[i]) - w)
		if float64(got[i]) == w || got[i] != got[i] && w != w {
			d = 0
		} else if d != d {
			d = math.Inf(1)
		}
		ulp = max(ulp, ULP(got[i], w))
		worst, square = max(worst, d), square+d*d
		if w == w {
			largest, size = max(largest, math.Abs(w)), size+w*w
		}
	}
	return Error{ulp, ratio(worst, largest), ratio(math.Sqrt(square), math.Sqrt(size))}
}

func ratio(err, of float64) float64 {
	if err == 0 || math.IsInf(err, 1) {
		return err
	}
	return err / of * (1 << 24)
}

// ULP returns |got-want| in units of the last place of float32 at want. If want
// is good to 2^-51 of its size, the answer is to 2^-28.
func ULP(got float32, want float64) float64 {
	if w := float32(want); w != w || w-w != 0 {
		if got == w || (w != w && got != got) {
			return 0
		}
		return math.Inf(1)
	}
	if got != got {
		return math.Inf(1)
	}
	exp := max(math.Float64bits(want)>>52&0x7ff, 1023-126)
	return math.Abs(float64(got)-want) * math.Float64frombits((2*1023+23-exp)<<52)
}

// Package f64 restates every kernel of internal/exact in plain float64, formula
// by formula: what the float32 kernels are measured against. Nothing here is fast
// or has a fold order; sums run from the first element to the last.
//
// Tensors are row-major slices of exactly the size that the shape names; results
// are new slices. Shapes are not checked: a wrong one panics by index. Functions
// may be called concurrently.
//
// Backward functions return the derivative of the sum of dy*y over all elements
// (of the losses, for the losses). The tests of this package hold them against
// central differences of the forward functions.
package f64

// Of returns x in float64.
func Of(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

// Dot returns the sum of x*y.
func Dot(x, y []float64) (sum float64) {
	for i, v := range x {
		sum += v * y[i]
	}
	return sum
}

// Sum returns the sum of x.
func Sum(x []float64) (sum float64) {
	for _, v := range x {
		sum += v
	}
	return sum
}

// apply returns f of each element.
func apply(x []float64, f func(v float64) float64) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = f(v)
	}
	return y
}

// product returns dy*f(x) element by element.
func product(dy, x []float64, f func(v float64) float64) []float64 {
	dx := apply(x, f)
	for i, d := range dy {
		dx[i] *= d
	}
	return dx
}

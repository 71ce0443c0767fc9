package f64

import "math"

// Sigmoid returns 1/(1+exp(-x)).
func Sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// Silu returns x*Sigmoid(x).
func Silu(x float64) float64 { return x / (1 + math.Exp(-x)) }

// Gelu returns x/2*(1+tanh(sqrt(2/pi)*(x+0.044715*x*x*x))), as x times the
// Sigmoid of twice the angle.
func Gelu(x float64) float64 { return x * Sigmoid(geluAngle(x)) }

func geluAngle(x float64) float64 { return 2 * math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x) }

// GeluGrad returns the derivative of Gelu.
func GeluGrad(x float64) float64 {
	v := geluAngle(x)
	return Sigmoid(v) * (1 + x*Sigmoid(-v)*2*math.Sqrt(2/math.Pi)*(1+3*0.044715*x*x))
}

// GELU returns Gelu of each element.
func GELU(x []float64) []float64 { return apply(x, Gelu) }

// GELUBackward returns dy*GeluGrad(x).
func GELUBackward(dy, x []float64) []float64 { return product(dy, x, GeluGrad) }

// ReLU returns the larger of each element and 0.
func ReLU(x []float64) []float64 {
	return apply(x, func(v float64) float64 { return max(v, 0) })
}

// ReLUBackward returns dy where x > 0, else 0.
func ReLUBackward(dy, x []float64) []float64 {
	dx := make([]float64, len(x))
	for i, v := range x {
		if v > 0 {
			dx[i] = dy[i]
		}
	}
	return dx
}

// SwiGLU returns Silu(gate)*up.
func SwiGLU(gate, up []float64) []float64 { return product(up, gate, Silu) }

// SwiGLUBackward returns dgate and dup.
func SwiGLUBackward(dy, gate, up []float64) (dgate, dup []float64) {
	dgate = product(dy, gate, func(g float64) float64 {
		s := Sigmoid(g)
		return s * (1 + g*Sigmoid(-g))
	})
	for i, u := range up {
		dgate[i] *= u
	}
	return dgate, product(dy, gate, Silu)
}

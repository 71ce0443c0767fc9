package exact

// Constants of gelu: the logistic function of v = x*(a + b*x*x) with
// a = 2*sqrt(2/pi) and b = 0.044715*a, in two parts each. The high part of a has
// 21 bits, so that its difference from a+b*x*x is exact up to geluMax.
const (
	geluMax = 11 // from here on exp(-|v|) is +0

	geluAHi = 0x1.98845p+0
	geluALo = 0x1.9ea1b2p-23
	geluBHi = 0x1.2444f2p-4
	geluBLo = 0x1.49b16ap-29

	geluA  = 0x1.988454p+0 // a and 3b in one part, for the derivative
	geluB3 = 0x1.b6676cp-3
)

// Gelu returns x/2*(1+tanh(sqrt(2/pi)*(x+0.044715*x*x*x))), the tanh form of the
// Gaussian error linear unit (Hendrycks and Gimpel, 2016), computed as x times
// the logistic function of twice the angle. The error is at most 2 ulp where
// exp of twice the angle is at least 2^-126, which is down to x = -10.0007;
// below it is -0. Gelu of +Inf is +Inf, of -Inf -0.
func Gelu(x float32) float32 {
	if x != x || x > geluMax {
		return x
	}
	g := geluAt(x)
	return FMA32(g.x, g.y, float32(g.x*g.d))
}

// geluGrad returns the derivative of Gelu: s*(1 + x*(1-s)*(a + 3b*x*x)), where s
// is the logistic function of v.
func geluGrad(x float32) float32 {
	if x != x {
		return x
	}
	g := geluAt(x)
	k := FMA32(geluB3, g.square, geluA)
	return (g.y + g.d) * FMA32(float32(g.x*k), g.rest, 1)
}

// geluParts is the logistic function at v(x), as y+d, and what it came from.
type geluParts struct {
	x, square float32 // x cut off at +-geluMax, its square
	y, d      float32
	rest      float32 // 1-(y+d)
}

// geluAt keeps the roundings of v, since exp turns an absolute error of v into a
// relative one of the result: v+lo is exact but for 2^-45 of it.
func geluAt(x float32) geluParts {
	x = max(min(x, geluMax), -geluMax)
	s := float32(x * x)
	p := FMA32(geluBHi, s, geluAHi)
	e := FMA32(geluBHi, s, geluAHi-p) // what p lost
	e = FMA32(geluBLo, s, e+geluALo)
	e = FMA32(geluBHi, FMA32(x, x, -s), e)
	v := float32(x * p)
	lo := FMA32(x, e, FMA32(x, p, -v))
	z := Exp(-abs32(v))
	y, d, inv := logistic(z, x < 0)
	rest := inv
	if !(x < 0) {
		rest = float32(z * inv)
	}
	d = FMA32(float32(y*lo), rest, d) // the derivative of the logistic function is y*rest
	return geluParts{x, s, y, d, rest}
}

// GELU computes y = Gelu(x) over len(y) elements. y may be x.
func (e *Engine) GELU(y, x []float32) {
	need("GELU", "x", len(x), len(y))
	e.activation(unaryArgs{op: opGELU, y: y, x: x})
}

// GELUBackward computes dx = dy*Gelu'(x) over len(dx) elements. dx may be dy or x.
func (e *Engine) GELUBackward(dx, dy, x []float32) {
	need("GELUBackward", "dy", len(dy), len(dx))
	need("GELUBackward", "x", len(x), len(dx))
	e.activation(unaryArgs{op: opGELUGrad, y: dx, d: dy, x: x})
}

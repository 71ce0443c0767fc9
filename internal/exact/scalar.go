package exact

import "math"

// Coefficients of the polynomials; docs/numerics.md gives intervals and errors.
const (
	log2e = 0x1.715476p+0 // 1/ln 2
	ln2Hi = 0x1.62e43p-1  // ln 2 rounded to float32
	ln2Lo = -0x1.05c61p-29

	expMagic = 0x1.8p23      // adding it rounds to an integer
	expMax   = 0x1.62e42ep+6 // largest x whose exponential is finite
	expMin   = -0x1.5ep+6    // -87.5; below it exp is under 2^-126

	exp2 = 0x1.fffffcp-2
	exp3 = 0x1.555492p-3
	exp4 = 0x1.5558bp-5
	exp5 = 0x1.123986p-7
	exp6 = 0x1.6a4d46p-10

	log2 = -0x1p-1
	log3 = 0x1.555506p-2
	log4 = -0x1.fffef2p-3
	log5 = 0x1.99d06p-3
	log6 = -0x1.559d8cp-3
	log7 = 0x1.1ed3f2p-3
	log8 = -0x1.f3178p-4
	log9 = 0x1.1e74ccp-3
	logA = -0x1.07f8e4p-3

	tanhMid = 0x1.333334p-1 // 0.6: polynomial below, exponential from here on
	tanh3   = -0x1.55553ep-2
	tanh5   = 0x1.1109c6p-3
	tanh7   = -0x1.b89c58p-5
	tanh9   = 0x1.54d0dp-6
	tanhB   = -0x1.82ca5ep-8
)

// minNormal holds the bits of 2^-126, the least normal float32.
const minNormal = 0x00800000

// Exp returns the exponential of x. Results below 2^-126 are +0. It is the one
// exponential that every kernel uses; the error is at most 2 ulp.
func Exp(x float32) float32 {
	switch {
	case x != x:
		return x
	case x > expMax:
		return float32(math.Inf(1))
	case x < expMin:
		return 0
	}
	t := FMA32(x, log2e, expMagic)
	n := t - expMagic
	r := FMA32(-n, ln2Hi, x)
	r = FMA32(-n, ln2Lo, r)
	p := FMA32(exp6, r, exp5)
	p = FMA32(p, r, exp4)
	p = FMA32(p, r, exp3)
	p = FMA32(p, r, exp2)
	p = FMA32(p, r, 1)
	p = FMA32(p, r, 1)
	// The low bits of t hold n: add it to p's exponent.
	b := math.Float32bits(p) + math.Float32bits(t)<<23
	if int32(b) < minNormal {
		return 0
	}
	return math.Float32frombits(b)
}

// Log returns the natural logarithm of x: NaN for x < 0, -Inf for 0. The error
// is at most 2 ulp.
func Log(x float32) float32 {
	switch {
	case x != x || x > math.MaxFloat32:
		return x
	case x < 0:
		return float32(math.NaN())
	case x == 0:
		return float32(math.Inf(-1))
	}
	bias := int32(0)
	if math.Float32bits(x) < minNormal {
		x *= 1 << 23
		bias = 23
	}
	// x = m 2^k with m in [2/3, 4/3).
	b := int32(math.Float32bits(x))
	k := (b - 0x3f2aaaab) >> 23
	f := math.Float32frombits(uint32(b-k<<23)) - 1
	s := f * f
	q := FMA32(logA, f, log9)
	for _, c := range [...]float32{log8, log7, log6, log5, log4, log3, log2} {
		q = FMA32(q, f, c)
	}
	return FMA32(float32(k-bias), ln2Hi, FMA32(q, s, f))
}

// Sigmoid returns 1/(1+exp(-x)), and +0 where exp(x) is below 2^-126; elsewhere
// the error is at most 2 ulp.
func Sigmoid(x float32) float32 {
	s, _ := sigmoidSilu(x)
	return s
}

// Silu returns x/(1+exp(-x)), and a zero where exp(x) is below 2^-126; elsewhere
// the error is at most 2 ulp. Silu of an infinity is NaN.
func Silu(x float32) float32 {
	_, a := sigmoidSilu(x)
	return a
}

func sigmoidSilu(x float32) (sigmoid, silu float32) {
	y, d, _ := logistic(Exp(-abs32(x)), x < 0)
	return y + d, FMA32(x, y, float32(x*d))
}

// logistic computes z/(1+z) if negative and 1/(1+z) otherwise, corrected for the
// roundings of 1+z and of the division: the quotient is y+d. inv is 1/(1+z).
func logistic(z float32, negative bool) (y, d, inv float32) {
	den := 1 + z
	lost := z - (den - 1) // 1+z = den+lost exactly
	num := float32(1)
	if negative {
		num = z
	}
	inv = 1 / den
	y = float32(num * inv)
	t := FMA32(-y, den, num)
	t = FMA32(-y, lost, t)
	return y, float32(t * inv), inv
}

// Tanh returns the hyperbolic tangent of x. The error is at most 2 ulp.
func Tanh(x float32) float32 {
	a := abs32(x)
	var y float32
	if a < tanhMid {
		s := a * a
		q := FMA32(tanhB, s, tanh9)
		q = FMA32(q, s, tanh7)
		q = FMA32(q, s, tanh5)
		q = FMA32(q, s, tanh3)
		y = FMA32(float32(a*s), q, a)
	} else {
		y = 1 - 2/(Exp(float32(2*a))+1)
	}
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}

func abs32(x float32) float32 {
	return math.Float32frombits(math.Float32bits(x) &^ (1 << 31))
}

// sqrt32 is the correctly rounded square root: float64 has enough bits for the
// second rounding to be harmless (Figueroa, 1995).
func sqrt32(x float32) float32 { return float32(math.Sqrt(float64(x))) }

// flush returns +0 for |x| < 2^-126 and x otherwise.
func flush(x float32) float32 {
	if math.Float32bits(x)&^(1<<31) < minNormal {
		return 0
	}
	return x
}

package exact

import "math/big"

// tablePrec is the precision, in bits, of tables computed before rounding. The
// recurrences below lose fewer than 40 bits for a million positions.
const tablePrec = 256

// RopeTable returns the cosines and sines of position*theta^(-2i/headDim) for
// positions in [0,context) and i in [0,headDim/2), each table (context,headDim/2)
// row-major. theta is taken as the exact value of the float64; each entry is
// computed with 256 bits and rounded once to float32. headDim is even and theta
// positive, else RopeTable panics with *ShapeError.
func RopeTable(context, headDim int, theta float64) (cos, sin []float32) {
	require(context >= 0 && headDim >= 0 && headDim%2 == 0 && theta > 0, "RopeTable", "bad dimension")
	half := headDim / 2
	cos, sin = make([]float32, context*half), make([]float32, context*half)
	if half == 0 || context == 0 {
		return cos, sin
	}
	lnTheta := bigLog(newBig(theta))
	for i := range half {
		// w = exp(-2i/headDim * ln theta)
		w := newBig(float64(-2 * i))
		w.Quo(w, newBig(float64(headDim)))
		w = bigExp(w.Mul(w, lnTheta))
		c1, s1 := bigCosSin(w)
		c, s := newBig(1), newBig(0)
		t1, t2 := newBig(0), newBig(0)
		for t := range context {
			cos[t*half+i], _ = c.Float32()
			sin[t*half+i], _ = s.Float32()
			// (c + is)(c1 + is1)
			t1.Mul(c, c1)
			t2.Mul(s, s1)
			t1.Sub(t1, t2)
			t2.Mul(c, s1)
			s.Mul(s, c1)
			s.Add(s, t2)
			c.Set(t1)
		}
	}
	return cos, sin
}

// OneMinusPow returns 1-beta^n, computed with 256 bits and rounded once to
// float32. It is the bias correction of AdamW at step n.
func OneMinusPow(beta float32, n int) float32 {
	pow, base := newBig(1), newBig(float64(beta))
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			pow.Mul(pow, base)
		}
		base.Mul(base, base)
	}
	r, _ := pow.Sub(newBig(1), pow).Float32()
	return r
}

func newBig(x float64) *big.Float { return new(big.Float).SetPrec(tablePrec).SetFloat64(x) }

// bigExp returns exp(x): Taylor series of x/2^k, squared k times.
func bigExp(x *big.Float) *big.Float {
	const guard = 16
	k := max(x.MantExp(nil), 0) + guard
	r := newBig(0).SetMantExp(x, -k)
	sum, term := newBig(1), newBig(1)
	for n := 1; term.Sign() != 0 && term.MantExp(nil) > -tablePrec-guard; n++ {
		term.Mul(term, r)
		term.Quo(term, newBig(float64(n)))
		sum.Add(sum, term)
	}
	for range k {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog returns ln(x) for x > 0: x = m 2^k with m in [1/2,1), and
// ln(m) = 2 atanh((m-1)/(m+1)).
func bigLog(x *big.Float) *big.Float {
	m := newBig(0)
	k := x.MantExp(m)
	ln := bigAtanhLog(m)
	ln2 := bigAtanhLog(newBig(2))
	return ln.Add(ln, ln2.Mul(ln2, newBig(float64(k))))
}

func bigAtanhLog(m *big.Float) *big.Float {
	z := newBig(0).Sub(m, newBig(1))
	z.Quo(z, newBig(0).Add(m, newBig(1)))
	sum, pow, z2 := newBig(0), newBig(0).Set(z), newBig(0).Mul(z, z)
	for n := 1; pow.Sign() != 0 && pow.MantExp(nil) > -tablePrec-8; n += 2 {
		sum.Add(sum, newBig(0).Quo(pow, newBig(float64(n))))
		pow.Mul(pow, z2)
	}
	return sum.Mul(sum, newBig(2))
}

// bigCosSin returns cos(x) and sin(x) for x >= 0 by Taylor series; x is a
// frequency in radians per position, at most a small multiple of 1 in use.
func bigCosSin(x *big.Float) (cos, sin *big.Float) {
	cos, sin = newBig(0), newBig(0)
	term := newBig(1)
	for n := 0; term.Sign() != 0 && (n < 4 || term.MantExp(nil) > -tablePrec-8); n++ {
		t := newBig(0).Set(term)
		if n&2 != 0 {
			t.Neg(t)
		}
		if n&1 == 0 {
			cos.Add(cos, t)
		} else {
			sin.Add(sin, t)
		}
		term.Mul(term, x)
		term.Quo(term, newBig(float64(n+1)))
	}
	return cos, sin
}

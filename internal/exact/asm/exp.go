package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// exp returns the exponential of x, operation by operation as exact.Exp.
func (s *isa) exp(x VecVirtual) VecVirtual {
	t, n, r, p := s.vec(), s.vec(), s.vec(), s.vec()
	VMOVUPS(constant(0x1.715476p+0), t)
	VFMADD213PS(constant(0x1.8p23), x, t)
	VSUBPS(constant(0x1.8p23), t, n)
	VMOVAPS(x, r)
	VFNMADD231PS(constant(0x1.62e43p-1), n, r)
	VFNMADD231PS(constant(-0x1.05c61p-29), n, r)
	VMOVUPS(constant(0x1.6a4d46p-10), p)
	for _, c := range []float32{0x1.123986p-7, 0x1.5558bp-5, 0x1.555492p-3, 0x1.fffffcp-2, 1, 1} {
		VFMADD213PS(constant(c), r, p)
	}
	VPSLLD(Imm(23), t, t)
	VPADDD(t, p, p)
	s.setZero(p, s.signedLess(p, bits(0x00800000)))
	s.setZero(p, s.cmp(cmpLT, x, constant(-0x1.5ep+6)))
	inf := s.vec()
	VMOVUPS(constant(float32(math.Inf(1))), inf)
	s.set(p, s.cmp(cmpGT, x, constant(0x1.62e42ep+6)), inf)
	s.set(p, s.cmp(cmpUnord, x, x), x)
	return p
}

// sigmoidSilu is exact.sigmoidSilu.
func (s *isa) sigmoidSilu(x VecVirtual) (sigmoid, silu VecVirtual) {
	y, d, _ := s.logistic(s.expNegAbs(x), x)
	sigmoid, silu = s.vec(), s.vec()
	VADDPS(d, y, sigmoid)
	VMULPS(d, x, silu)
	VFMADD231PS(y, x, silu)
	return sigmoid, silu
}

// expNegAbs returns exp(-|x|).
func (s *isa) expNegAbs(x VecVirtual) VecVirtual {
	neg := s.vec()
	s.and(bits(0x7fffffff), x, neg)
	s.xor(bits(1<<31), neg, neg)
	return s.exp(neg)
}

// logistic is exact.logistic, negative where x < 0.
func (s *isa) logistic(z, x VecVirtual) (y, d, inv VecVirtual) {
	one, den, lost, num := s.vec(), s.vec(), s.vec(), s.vec()
	inv = s.vec()
	VMOVUPS(constant(1), one)
	VADDPS(z, one, den)
	VSUBPS(one, den, lost)
	VSUBPS(lost, z, lost)
	VDIVPS(den, one, inv)
	VMOVAPS(one, num)
	zero := s.vec()
	s.zero(zero)
	s.set(num, s.cmp(cmpLT, x, zero), z)
	t := s.vec()
	y, d = s.vec(), s.vec()
	VMULPS(inv, num, y)
	VMOVAPS(num, t)
	VFNMADD231PS(den, y, t)
	VFNMADD231PS(lost, y, t)
	VMULPS(inv, t, d)
	return y, d, inv
}

func genSoftmax(s *isa) {
	s.text("ScaleMax", "func(x *float32, n int, scale float32, max *float32)",
		"scales x by scale and stores the largest element that is not NaN, -Inf if there is none.")
	x, n := load64("x"), load64("n")
	scale := s.broadcast("scale")
	m := s.vec()
	VMOVUPS(constant(float32(math.Inf(-1))), m)
	loop("loop", n, []Register{x}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMULPS(at(x, off), scale, v)
			VMOVUPS(v, at(x, off))
			VMAXPS(m, v, m) // v > m ? v : m, so NaN in v leaves m
		})
	})
	s.storeMax(m, load64("max"))
	s.ret()

	s.text("ExpSum", "func(x *float32, n int, m float32, lanes *[16]float32)",
		"replaces x by exp(x-m) and adds the results to the lanes.")
	x, n = load64("x"), load64("n")
	shift := s.broadcast("m")
	l := load64("lanes")
	acc := s.loadLanes(l)
	loop("loop", n, []Register{x}, func() {
		s.each(func(u, off int) {
			v := s.vec()
			VMOVUPS(at(x, off), v)
			VSUBPS(shift, v, v)
			p := s.exp(v)
			VMOVUPS(p, at(x, off))
			VADDPS(p, acc[u], acc[u])
		})
	})
	s.storeLanes(acc, l)
	s.ret()

	s.text("SoftmaxGrad", "func(s, dp *float32, n int, scale, m, l, dot float32)",
		"replaces s by w = exp(s*scale-m)/l and dp by w*(dp-dot).")
	x, dp, n := load64("s"), load64("dp"), load64("n")
	scale, shift = s.broadcast("scale"), s.broadcast("m")
	sum, dot := s.broadcast("l"), s.broadcast("dot")
	loop("loop", n, []Register{x, dp}, func() {
		s.each(func(_, off int) {
			v, d := s.vec(), s.vec()
			VMULPS(at(x, off), scale, v)
			VSUBPS(shift, v, v)
			w := s.exp(v)
			VDIVPS(sum, w, w)
			VMOVUPS(w, at(x, off))
			VMOVUPS(at(dp, off), d)
			VSUBPS(dot, d, d)
			VMULPS(d, w, d)
			VMOVUPS(d, at(dp, off))
		})
	})
	s.ret()
}

// storeMax stores the maximum of the lanes of m, none of which is NaN.
func (s *isa) storeMax(m VecVirtual, p Register) {
	if s.wide() {
		h := YMM()
		VEXTRACTF64X4(Imm(1), m, h)
		y := YMM()
		VMOVAPS(m.(Vec).AsY(), y)
		VMAXPS(h, y, y)
		m = y
	}
	x, h := XMM(), XMM()
	VEXTRACTF128(Imm(1), m, h)
	VMOVAPS(m.(Vec).AsX(), x)
	VMAXPS(h, x, x)
	VPERMILPS(Imm(0x4e), x, h)
	VMAXPS(h, x, x)
	VPERMILPS(Imm(0xb1), x, h)
	VMAXPS(h, x, x)
	VMOVSS(x, at(p, 0))
}

func (s *isa) loadLanes(p Register) []VecVirtual {
	acc := s.vecs()
	s.each(func(u, off int) { VMOVUPS(at(p, off), acc[u]) })
	return acc
}

func (s *isa) storeLanes(acc []VecVirtual, p Register) {
	s.each(func(u, off int) { VMOVUPS(acc[u], at(p, off)) })
}

func genSwiGLU(s *isa) {
	s.text("SwiGLU", "func(y, gate, up *float32, n int)", "sets y = silu(gate)*up.")
	y, gate, up, n := load64("y"), load64("gate"), load64("up"), load64("n")
	loop("loop", n, []Register{y, gate, up}, func() {
		s.each(func(_, off int) {
			g := s.vec()
			VMOVUPS(at(gate, off), g)
			_, a := s.sigmoidSilu(g)
			VMULPS(at(up, off), a, a)
			VMOVUPS(a, at(y, off))
		})
	})
	s.ret()

	s.text("SwiGLUGrad", "func(dgate, dup, dy, gate, up *float32, n int)",
		"sets dup = dy*a and dgate = (dy*up)*fma(a, 1-s, s), s = sigmoid(gate), a = silu(gate).")
	dgate, dup, dy := load64("dgate"), load64("dup"), load64("dy")
	gate, up, n = load64("gate"), load64("up"), load64("n")
	loop("loop", n, []Register{dgate, dup, dy, gate, up}, func() {
		s.each(func(_, off int) {
			g, d, du, one := s.vec(), s.vec(), s.vec(), s.vec()
			VMOVUPS(at(gate, off), g)
			sig, a := s.sigmoidSilu(g)
			VMOVUPS(at(dy, off), d)
			VMULPS(at(up, off), d, du)
			VMULPS(a, d, d)
			VMOVUPS(constant(1), one)
			VSUBPS(sig, one, one)
			VFMADD231PS(one, a, sig)
			VMULPS(sig, du, du)
			VMOVUPS(d, at(dup, off))
			VMOVUPS(du, at(dgate, off))
		})
	})
	s.ret()
}

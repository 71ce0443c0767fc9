package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

func genReLU(s *isa) {
	s.text("ReLU", "func(y, x *float32, n int)", "sets y = +0 where x < 0 and x elsewhere.")
	y, x, n := load64("y"), load64("x"), load64("n")
	zero := s.vec()
	s.zero(zero)
	loop("loop", n, []Register{y, x}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMAXPS(at(x, off), zero, v) // 0 > x ? 0 : x, so NaN and -0 are kept
			VMOVUPS(v, at(y, off))
		})
	})
	s.ret()

	s.text("ReLUGrad", "func(dx, dy, x *float32, n int)", "sets dx = dy where x > 0, +0 where x <= 0, x where it is NaN.")
	dx, dy, x, n := load64("dx"), load64("dy"), load64("x"), load64("n")
	zero = s.vec()
	s.zero(zero)
	loop("loop", n, []Register{dx, dy, x}, func() {
		s.each(func(_, off int) {
			v, d := s.vec(), s.vec()
			VMOVUPS(at(x, off), v)
			VMOVUPS(at(dy, off), d)
			s.setZero(d, s.cmp(cmpLE, v, zero))
			s.set(d, s.cmp(cmpUnord, v, v), v)
			VMOVUPS(d, at(dx, off))
		})
	})
	s.ret()
}

// geluParts is exact.geluParts.
type geluParts struct{ x, square, y, d, rest VecVirtual }

// geluAt is exact.geluAt, operation by operation.
func (s *isa) geluAt(arg VecVirtual) (g geluParts) {
	x, sq := s.vec(), s.vec()
	VMAXPS(constant(-11), arg, x)
	VMINPS(constant(11), x, x)
	VMULPS(x, x, sq)
	hi, p, e, t := s.vec(), s.vec(), s.vec(), s.vec()
	VMOVUPS(constant(0x1.2444f2p-4), hi)
	VMOVAPS(sq, p)
	VFMADD213PS(constant(0x1.98845p+0), hi, p)
	VMOVUPS(constant(0x1.98845p+0), e)
	VSUBPS(p, e, e)
	VFMADD231PS(sq, hi, e)
	VADDPS(constant(0x1.9ea1b2p-23), e, e)
	VMOVUPS(constant(0x1.49b16ap-29), t)
	VFMADD231PS(t, sq, e)
	VMOVAPS(x, t)
	VFMSUB213PS(sq, x, t)
	VFMADD231PS(t, hi, e)
	v, lo := s.vec(), s.vec()
	VMULPS(p, x, v)
	VMOVAPS(x, lo)
	VFMSUB213PS(v, p, lo)
	VFMADD231PS(e, x, lo)

	z := s.expNegAbs(v)
	y, d, inv := s.logistic(z, x)
	rest, zero := s.vec(), s.vec()
	VMULPS(inv, z, rest)
	s.zero(zero)
	s.set(rest, s.cmp(cmpLT, x, zero), inv)
	VMULPS(lo, y, lo)
	VFMADD231PS(rest, lo, d)
	return geluParts{x, sq, y, d, rest}
}

func genGELU(s *isa) {
	s.text("GELU", "func(y, x *float32, n int)", "sets y = gelu(x).")
	y, x, n := load64("y"), load64("x"), load64("n")
	loop("loop", n, []Register{y, x}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMOVUPS(at(x, off), v)
			g := s.geluAt(v)
			VMULPS(g.d, g.x, g.d)
			VFMADD231PS(g.y, g.x, g.d)
			s.set(g.d, s.cmp(cmpNLE, v, constant(11)), v)
			VMOVUPS(g.d, at(y, off))
		})
	})
	s.ret()

	s.text("GELUGrad", "func(dx, dy, x *float32, n int)", "sets dx = dy*gelu'(x).")
	dx, dy, x, n := load64("dx"), load64("dy"), load64("x"), load64("n")
	loop("loop", n, []Register{dx, dy, x}, func() {
		s.each(func(_, off int) {
			v, k := s.vec(), s.vec()
			VMOVUPS(at(x, off), v)
			g := s.geluAt(v)
			VMOVUPS(constant(0x1.b6676cp-3), k)
			VFMADD213PS(constant(0x1.988454p+0), g.square, k)
			VMULPS(k, g.x, k)
			VFMADD213PS(constant(1), g.rest, k)
			VADDPS(g.d, g.y, g.y)
			VMULPS(k, g.y, g.y)
			s.set(g.y, s.cmp(cmpUnord, v, v), v)
			VMULPS(at(dy, off), g.y, g.y)
			VMOVUPS(g.y, at(dx, off))
		})
	})
	s.ret()
}

func genTakeMax(s *isa) {
	s.text("TakeMax", "func(y *float32, index *int32, x *float32, n int, at int32)",
		"replaces y by x and index by at where y is a number that x does not stay below or equal.")
	y, index, x, n := load64("y"), load64("index"), load64("x"), load64("n")
	where := s.broadcast("at")
	loop("loop", n, []Register{y, index, x}, func() {
		s.each(func(_, off int) {
			best, v, i := s.vec(), s.vec(), s.vec()
			VMOVUPS(at(y, off), best)
			VMOVUPS(at(x, off), v)
			VMOVUPS(at(index, off), i)
			take := s.both(s.cmp(cmpNLE, v, best), s.cmp(cmpOrd, best, best))
			s.set(best, take, v)
			s.set(i, take, where)
			VMOVUPS(best, at(y, off))
			VMOVUPS(i, at(index, off))
		})
	})
	s.ret()
}

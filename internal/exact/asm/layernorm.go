package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/reg"
)

func genLayerNorm(s *isa) {
	s.text("CenterDot", "func(x *float32, n int, mean float32, lanes *[16]float32)",
		"folds lane = fma(d, d, lane), d = x-mean.")
	x, n, l := load64("x"), load64("n"), load64("lanes")
	mean := s.broadcast("mean")
	acc := s.loadLanes(l)
	loop("loop", n, []Register{x}, func() {
		s.each(func(u, off int) {
			d := s.vec()
			VMOVUPS(at(x, off), d)
			VSUBPS(mean, d, d)
			VFMADD231PS(d, d, acc[u])
		})
	})
	s.storeLanes(acc, l)
	s.ret()

	s.text("CenterNorm", "func(y, x, gain, bias *float32, n int, mean, r float32)",
		"sets y = fma((x-mean)*r, gain, bias).")
	y, x, gain, bias, n := load64("y"), load64("x"), load64("gain"), load64("bias"), load64("n")
	mean, r := s.broadcast("mean"), s.broadcast("r")
	loop("loop", n, []Register{y, x, gain, bias}, func() {
		s.each(func(_, off int) {
			h, g := s.centered(x, off, mean, r), s.vec()
			VMOVUPS(at(gain, off), g)
			VFMADD213PS(at(bias, off), g, h)
			VMOVUPS(h, at(y, off))
		})
	})
	s.ret()
	genLayerNormBackward(s)
}

func genLayerNormBackward(s *isa) {
	s.text("LayerDots", "func(dy, gain, x *float32, n int, mean, r float32, sums, dots *[16]float32)",
		"folds sum = sum + d and dot = fma(d, (x-mean)*r, dot), d = dy*gain.")
	dy, gain, x, n := load64("dy"), load64("gain"), load64("x"), load64("n")
	sp, dp := load64("sums"), load64("dots")
	mean, r := s.broadcast("mean"), s.broadcast("r")
	sums, dots := s.loadLanes(sp), s.loadLanes(dp)
	loop("loop", n, []Register{dy, gain, x}, func() {
		s.each(func(u, off int) {
			d, h := s.vec(), s.centered(x, off, mean, r)
			VMOVUPS(at(dy, off), d)
			VMULPS(at(gain, off), d, d)
			VADDPS(d, sums[u], sums[u])
			VFMADD231PS(h, d, dots[u])
		})
	})
	s.storeLanes(sums, sp)
	s.storeLanes(dots, dp)
	s.ret()

	s.text("LayerGrad", "func(dx, dgain, dbias, dy, gain, x *float32, n int, mean, r, b, c float32)",
		"sets dgain = fma(dy, h, dgain), dbias += dy and dx = fma(-h, c, dy*gain-b)*r, h = (x-mean)*r.")
	dx, dgain, dbias := load64("dx"), load64("dgain"), load64("dbias")
	dy, gain, x, n = load64("dy"), load64("gain"), load64("x"), load64("n")
	mean, r = s.broadcast("mean"), s.broadcast("r")
	b, c := s.broadcast("b"), s.broadcast("c")
	loop("loop", n, []Register{dx, dgain, dbias, dy, gain, x}, func() {
		s.each(func(_, off int) {
			d, g, h := s.vec(), s.vec(), s.centered(x, off, mean, r)
			VMOVUPS(at(dy, off), d)
			VMOVUPS(at(dgain, off), g)
			VFMADD231PS(h, d, g)
			VMOVUPS(g, at(dgain, off))
			VADDPS(at(dbias, off), d, g)
			VMOVUPS(g, at(dbias, off))
			VMULPS(at(gain, off), d, d)
			VSUBPS(b, d, d)
			VFNMADD231PS(c, h, d)
			VMULPS(r, d, d)
			VMOVUPS(d, at(dx, off))
		})
	})
	s.ret()
}

// centered returns (x-mean)*r.
func (s *isa) centered(x Register, off int, mean, r VecVirtual) VecVirtual {
	h := s.vec()
	VMOVUPS(at(x, off), h)
	VSUBPS(mean, h, h)
	VMULPS(r, h, h)
	return h
}

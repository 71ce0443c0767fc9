package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func genElementwise(s *isa) {
	for _, op := range []struct {
		name, doc string
		emit      func(b Mem, a VecVirtual)
	}{
		{"Add", "sets y = a+b.", func(b Mem, a VecVirtual) { VADDPS(b, a, a) }},
		{"Sub", "sets y = a-b.", func(b Mem, a VecVirtual) { VSUBPS(b, a, a) }},
	} {
		s.text(op.name, "func(y, a, b *float32, n int)", op.doc)
		y, a, b, n := load64("y"), load64("a"), load64("b"), load64("n")
		loop("loop", n, []Register{y, a, b}, func() {
			s.each(func(_, off int) {
				v := s.vec()
				VMOVUPS(at(a, off), v)
				op.emit(at(b, off), v)
				VMOVUPS(v, at(y, off))
			})
		})
		s.ret()
	}

	s.text("Scale", "func(y, x *float32, n int, k float32)", "sets y = x*k.")
	y, x, n := load64("y"), load64("x"), load64("n")
	k := s.broadcast("k")
	loop("loop", n, []Register{y, x}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMULPS(at(x, off), k, v)
			VMOVUPS(v, at(y, off))
		})
	})
	s.ret()

	s.text("FMA", "func(y, x *float32, n int, k float32)", "sets y = fma(k, x, y).")
	y, x, n = load64("y"), load64("x"), load64("n")
	k = s.broadcast("k")
	loop("loop", n, []Register{y, x}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMOVUPS(at(y, off), v)
			VFMADD231PS(at(x, off), k, v)
			VMOVUPS(v, at(y, off))
		})
	})
	s.ret()

	s.text("DivDiv", "func(y, x *float32, n int, k, l float32)", "sets y = (x/k)/l.")
	y, x, n = load64("y"), load64("x"), load64("n")
	k, l := s.broadcast("k"), s.broadcast("l")
	loop("loop", n, []Register{y, x}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMOVUPS(at(x, off), v)
			VDIVPS(k, v, v)
			VDIVPS(l, v, v)
			VMOVUPS(v, at(y, off))
		})
	})
	s.ret()
}

func genNorm(s *isa) {
	s.text("SumLanes", "func(x *float32, n int, lanes *[16]float32)", "adds x to the lanes.")
	x, n, l := load64("x"), load64("n"), load64("lanes")
	acc := s.loadLanes(l)
	loop("loop", n, []Register{x}, func() {
		s.each(func(u, off int) { VADDPS(at(x, off), acc[u], acc[u]) })
	})
	s.storeLanes(acc, l)
	s.ret()

	s.text("DotLanes", "func(x, y *float32, n int, lanes *[16]float32)", "folds lane = fma(x, y, lane).")
	x, y := load64("x"), load64("y")
	n, l = load64("n"), load64("lanes")
	acc = s.loadLanes(l)
	loop("loop", n, []Register{x, y}, func() {
		s.each(func(u, off int) {
			v := s.vec()
			VMOVUPS(at(x, off), v)
			VFMADD231PS(at(y, off), v, acc[u])
		})
	})
	s.storeLanes(acc, l)
	s.ret()

	s.text("MulMul", "func(y, x, gain *float32, n int, r float32)", "sets y = (x*r)*gain.")
	y, x = load64("y"), load64("x")
	gain, n := load64("gain"), load64("n")
	r := s.broadcast("r")
	loop("loop", n, []Register{y, x, gain}, func() {
		s.each(func(_, off int) {
			v := s.vec()
			VMULPS(at(x, off), r, v)
			VMULPS(at(gain, off), v, v)
			VMOVUPS(v, at(y, off))
		})
	})
	s.ret()

	s.text("NormDot", "func(dy, gain, x *float32, n int, r float32, lanes *[16]float32)",
		"folds lane = fma(dy*gain, x*r, lane).")
	dy := load64("dy")
	gain, x, n, l = load64("gain"), load64("x"), load64("n"), load64("lanes")
	r = s.broadcast("r")
	acc = s.loadLanes(l)
	loop("loop", n, []Register{dy, gain, x}, func() {
		s.each(func(u, off int) {
			d, h := s.vec(), s.vec()
			VMOVUPS(at(dy, off), d)
			VMULPS(at(gain, off), d, d)
			VMULPS(at(x, off), r, h)
			VFMADD231PS(h, d, acc[u])
		})
	})
	s.storeLanes(acc, l)
	s.ret()

	s.text("NormGrad", "func(dx, dgain, dy, gain, x *float32, n int, r, c float32)",
		"sets dgain = fma(dy, h, dgain) and dx = fma(-h, c, dy*gain)*r, h = x*r.")
	dx, dgain := load64("dx"), load64("dgain")
	dy, gain, x, n = load64("dy"), load64("gain"), load64("x"), load64("n")
	r, c := s.broadcast("r"), s.broadcast("c")
	loop("loop", n, []Register{dx, dgain, dy, gain, x}, func() {
		s.each(func(_, off int) {
			d, h, g := s.vec(), s.vec(), s.vec()
			VMULPS(at(x, off), r, h)
			VMOVUPS(at(dy, off), d)
			VMOVUPS(at(dgain, off), g)
			VFMADD231PS(h, d, g)
			VMOVUPS(g, at(dgain, off))
			VMULPS(at(gain, off), d, d)
			VFNMADD231PS(c, h, d)
			VMULPS(r, d, d)
			VMOVUPS(d, at(dx, off))
		})
	})
	s.ret()
}

func genRope(s *isa) {
	s.text("Rope", "func(y, x, cos, sin *float32, n, heads int, sign *[16]uint32)",
		"rotates heads of 2*16*n elements; sign is xored into sin.")
	y, x, n, heads := load64("y"), load64("x"), load64("n"), load64("heads")
	flip := s.vec()
	VMOVUPS(at(load64("sign"), 0), flip)
	half := GP64()
	MOVQ(n, half)
	SHLQ(Imm(6), half)
	Label("head")
	cos, sin, count := load64("cos"), load64("sin"), GP64()
	MOVQ(n, count)
	loop("loop", count, []Register{y, x, cos, sin}, func() {
		s.each(func(_, off int) {
			hi := func(p Register) Mem { return Mem{Base: p, Index: half, Scale: 1, Disp: off} }
			x1, x2, c, v, y1, y2 := s.vec(), s.vec(), s.vec(), s.vec(), s.vec(), s.vec()
			VMOVUPS(at(x, off), x1)
			VMOVUPS(hi(x), x2)
			VMOVUPS(at(cos, off), c)
			s.xor(at(sin, off), flip, v)
			VMULPS(v, x2, y1)
			VFMSUB231PS(c, x1, y1)
			VMULPS(v, x1, y2)
			VFMADD231PS(c, x2, y2)
			VMOVUPS(y1, at(y, off))
			VMOVUPS(y2, hi(y))
		})
	})
	ADDQ(half, x)
	ADDQ(half, y)
	DECQ(heads)
	JNZ(LabelRef("head"))
	s.ret()
}

func genAdamW(s *isa) {
	s.text("AdamW", "func(p, grad, m, v *float32, n int, c *[9]float32)",
		"does one AdamW step; c holds beta1, 1-beta1, beta2, 1-beta2, corr1, corr2, eps, decay, lr.")
	p, g, m, v, n := load64("p"), load64("grad"), load64("m"), load64("v"), load64("n")
	k := load64("c")
	c := make([]VecVirtual, 9)
	for i := range c {
		c[i] = s.field(k, i)
	}
	loop("loop", n, []Register{p, g, m, v}, func() {
		s.each(func(_, off int) {
			grad, first, second, par := s.vec(), s.vec(), s.vec(), s.vec()
			VMOVUPS(at(g, off), grad)
			VMULPS(c[1], grad, first)
			VMULPS(grad, grad, second)
			VMULPS(c[3], second, second)
			VFMADD231PS(at(m, off), c[0], first)
			VFMADD231PS(at(v, off), c[2], second)
			s.flush(first)
			s.flush(second)
			VMOVUPS(first, at(m, off))
			VMOVUPS(second, at(v, off))
			VDIVPS(c[4], first, first)
			VDIVPS(c[5], second, second)
			VSQRTPS(second, second)
			VADDPS(c[6], second, second)
			VDIVPS(second, first, first)
			VMOVUPS(at(p, off), par)
			old := s.vec()
			VMOVAPS(par, old)
			VFMADD231PS(c[7], old, par)
			VFMADD231PS(c[8], first, par)
			VMOVUPS(par, at(p, off))
		})
	})
	s.ret()
}

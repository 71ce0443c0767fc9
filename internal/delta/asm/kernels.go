package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func (s *isa) max(a Op, b, dst VecVirtual) { VPMAXSD(a, b, dst) }

func (s *isa) sum(a Op, b, dst VecVirtual) { VPADDD(a, b, dst) }

func genAccumulate(s *isa) {
	s.text("Accumulate", "func(after, before, u *float32, n int, decay float32) uint32",
		"sets after = fma(decay, before, u) and returns the largest magnitude bits.")
	after, before, u, n := load64("after"), load64("before"), load64("u"), load64("n")
	decay, sign, top := s.broadcast("decay"), s.bits(0x7fffffff), s.zero()
	loop(n, func() {
		s.each(func(off int) {
			v := s.vec()
			VMOVUPS(at(u, off), v)
			VFMADD231PS(at(before, off), decay, v)
			VMOVUPS(v, at(after, off))
			s.and(v, sign, v)
			s.max(v, top, top)
		})
	}, floats(after), floats(before), floats(u))
	s.fold(top, s.max)
}

func genTop(s *isa) {
	s.text("Top", "func(x *float32, n int) uint32", "returns the largest magnitude bits.")
	x, n := load64("x"), load64("n")
	sign, top := s.bits(0x7fffffff), s.zero()
	loop(n, func() {
		s.each(func(off int) {
			v := s.vec()
			s.and(at(x, off), sign, v)
			s.max(v, top, top)
		})
	}, floats(x))
	s.fold(top, s.max)
}

func genFlush(s *isa) {
	s.text("Flush", "func(x *float32, n int)", "replaces magnitudes below 2^-126 by +0.")
	x, n := load64("x"), load64("n")
	sign, least := s.bits(0x7fffffff), s.bits(0x00800000)
	loop(n, func() {
		s.each(func(off int) {
			v := s.vec()
			VMOVUPS(at(x, off), v)
			s.flush(v, sign, least)
			VMOVUPS(v, at(x, off))
		})
	}, floats(x))
	ret()
}

func genCount(s *isa) {
	s.text("Count", "func(x *float32, n int, below uint32) uint32", "returns how many magnitude bits are above below.")
	x, n := load64("x"), load64("n")
	below, sign, acc := s.broadcast("below"), s.bits(0x7fffffff), s.zero()
	one := s.vec()
	if s.wide() {
		one = s.bits(1)
	}
	loop(n, func() {
		s.each(func(off int) {
			v := s.vec()
			s.and(at(x, off), sign, v)
			m := s.above(v, below)
			if s.wide() {
				VPADDD(one, acc, m, acc)
			} else {
				VPSUBD(m, acc, acc)
			}
		})
	}, floats(x))
	s.fold(acc, s.sum)
}

func genMark(s *isa) {
	s.text("Mark", "func(marks *uint64, x *float32, n int, below uint32)", "sets bit i of marks if magnitude bits i are above below, else clears it.")
	marks, x, n := load64("marks"), load64("x"), load64("n")
	below, sign := s.broadcast("below"), s.bits(0x7fffffff)
	loop(n, func() {
		bits := GP32()
		s.each(func(off int) {
			v := s.vec()
			s.and(at(x, off), sign, v)
			m := s.above(v, below)
			switch {
			case s.wide():
				KMOVW(m, bits)
			case off == 0:
				VMOVMSKPS(m, bits)
			default:
				high := GP32()
				VMOVMSKPS(m, high)
				SHLL(Imm(8), high)
				ORL(high, bits)
			}
		})
		MOVW(bits.As16(), at(marks, 0))
	}, pointer{marks, 2}, floats(x))
	ret()
}

func genFMA(s *isa) {
	s.text("FMA", "func(y *float32, x *byte, n int, w float32)", "sets y = fma(w, x, y) for little-endian float32 at x.")
	y, x, n := load64("y"), load64("x"), load64("n")
	w := s.broadcast("w")
	loop(n, func() {
		s.each(func(off int) {
			v := s.vec()
			VMOVUPS(at(y, off), v)
			VFMADD231PS(at(x, off), w, v)
			VMOVUPS(v, at(y, off))
		})
	}, floats(y), floats(x))
	ret()
}

func genLevels(s *isa) {
	s.text("Levels", "func(level *byte, x *float32, n int, unit, limit float32)",
		"rounds x/unit to a level of at most limit and leaves x - level*unit, flushed.")
	level, x, n := load64("level"), load64("x"), load64("n")
	unit, limit := s.broadcast("unit"), s.broadcast("limit")
	sign, least, negative := s.bits(0x7fffffff), s.bits(0x00800000), s.zero()
	VSUBPS(limit, negative, negative)
	loop(n, func() {
		var ints []VecVirtual
		s.each(func(off int) {
			v, q := s.vec(), s.vec()
			VMOVUPS(at(x, off), v)
			VDIVPS(unit, v, q)
			VMINPS(limit, q, q)
			VMAXPS(negative, q, q)
			i := s.vec()
			VCVTPS2DQ(q, i)
			VCVTDQ2PS(i, q)
			VFNMADD231PS(unit, q, v)
			s.flush(v, sign, least)
			VMOVUPS(v, at(x, off))
			ints = append(ints, i)
		})
		if s.wide() {
			VPMOVSDB(ints[0], at(level, 0))
			return
		}
		VPACKSSDW(ints[1], ints[0], ints[0])
		VPERMQ(Imm(0xd8), ints[0], ints[0]) // undoes the packing by halves
		high := XMM()
		VEXTRACTI128(Imm(1), ints[0], high)
		VPACKSSWB(high, ints[0].AsX(), high)
		VMOVDQU(high, at(level, 0))
	}, pointer{level, 16}, floats(x))
	ret()
}

func genAddLevels(s *isa) {
	s.text("AddLevels", "func(y *float32, level *byte, n int, unit, w float32)", "sets y = fma(w, level*unit, y).")
	y, level, n := load64("y"), load64("level"), load64("n")
	unit, w := s.broadcast("unit"), s.broadcast("w")
	loop(n, func() {
		s.each(func(off int) {
			v, acc := s.vec(), s.vec()
			VPMOVSXBD(at(level, off/4), v)
			VCVTDQ2PS(v, v)
			VMULPS(unit, v, v)
			VMOVUPS(at(y, off), acc)
			VFMADD231PS(v, w, acc)
			VMOVUPS(acc, at(y, off))
		})
	}, floats(y), pointer{level, 16})
	ret()
}

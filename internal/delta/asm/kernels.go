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

// tile is how many rows of x and of y the kernels below multiply with one another at once: their sums fill the registers.
func (s *isa) tile() (x, y int) {
	if s.wide() {
		return 4, 6
	}
	return 2, 4
}

// rows returns pointers to the rows of a tile that lie stride bytes apart.
func rows(p, stride GPVirtual, n int) (rows []pointer) {
	for i := range n {
		r := p
		if i > 0 {
			r = GP64()
			MOVQ(rows[i-1].reg, r)
			ADDQ(stride, r)
		}
		rows = append(rows, pointer{reg: r})
	}
	return rows
}

// dots emits a loop over a tile: in steps of so many bytes, up to count, each row is loaded from its offset, and mul adds
// every product to its sum.
func (s *isa) dots(label string, count GPVirtual, step int, x, y []pointer, load func(p pointer, off GPVirtual) VecVirtual, mul func(a, b, sum VecVirtual), sum []VecVirtual) {
	off := GP64()
	XORQ(off, off)
	Label(label)
	var a []VecVirtual
	for _, p := range x {
		a = append(a, load(p, off))
	}
	for j, p := range y {
		b := load(p, off)
		for i := range x {
			mul(a[i], b, sum[i*len(y)+j])
		}
	}
	ADDQ(Imm(uint64(step)), off)
	CMPQ(off, count)
	JB(LabelRef(label))
}

// genFloatDots folds lane l of 8 over the elements l, l+8, ... of two rows, on from what out holds. AVX2 does four lanes,
// then the other four.
func genFloatDots(s *isa) {
	s.text("FloatDots", "func(out *float64, x, y *byte, stride, n int)",
		"adds to 8 lanes the products of each row of x in the tile with each of y, little-endian float32, stride bytes apart.")
	out, x, y, stride, count := load64("out"), load64("x"), load64("y"), load64("stride"), load64("n")
	SHLQ(Imm(6), count) // bytes
	tileX, tileY := s.tile()
	left, right := rows(x, stride, tileX), rows(y, stride, tileY)
	for part := range 16 / s.lanes {
		sum := make([]VecVirtual, tileX*tileY)
		for i := range sum {
			sum[i] = s.vec()
			VMOVUPD(at(out, 64*i+32*part), sum[i])
		}
		s.dots([]string{"low", "high"}[part], count, 32, left, right, func(p pointer, off GPVirtual) VecVirtual {
			v := s.vec()
			VCVTPS2PD(Mem{Base: p.reg, Index: off, Scale: 1, Disp: 16 * part}, v)
			return v
		}, func(a, b, sum VecVirtual) { VFMADD231PD(a, b, sum) }, sum)
		for i, v := range sum {
			VMOVUPD(v, at(out, 64*i+32*part))
		}
	}
	ret()
}

// genLevelDots adds products of levels as int32, in no order that shows. AVX-512 takes two blocks at a time.
func genLevelDots(s *isa) {
	s.text("LevelDots", "func(out *int32, x, y *byte, stride, n int)",
		"stores the products of each row of x in the tile with each of y, stride bytes apart.")
	out, x, y, stride, count := load64("out"), load64("x"), load64("y"), load64("stride"), load64("n")
	SHLQ(Imm(4), count) // bytes
	tileX, tileY := s.tile()
	sum := make([]VecVirtual, tileX*tileY)
	for i := range sum {
		sum[i] = s.zero()
	}
	t := s.vec()
	s.dots("loop", count, 2*s.lanes, rows(x, stride, tileX), rows(y, stride, tileY), func(p pointer, off GPVirtual) VecVirtual {
		v := s.vec()
		VPMOVSXBW(Mem{Base: p.reg, Index: off, Scale: 1}, v)
		return v
	}, func(a, b, sum VecVirtual) {
		VPMADDWD(a, b, t)
		s.sum(t, sum, sum)
	}, sum)
	for i, v := range sum {
		MOVL(s.join(v, s.sum), at(out, 4*i))
	}
	ret()
}

// genLevelTop takes two blocks at a time.
func genLevelTop() {
	s := avx2
	s.text("LevelTop", "func(level *byte, n int) uint32", "returns the largest magnitude.")
	level, n := load64("level"), load64("n")
	SHRQ(Imm(1), n)
	top := s.zero()
	loop(n, func() {
		v := s.vec()
		VPABSB(at(level, 0), v)
		VPMAXUB(v, top, top)
	}, pointer{level, 32})
	for shift := range 2 { // the largest byte of each lane comes last
		v := s.vec()
		VPSLLD(Imm(8<<shift), top, v)
		VPMAXUB(v, top, top)
	}
	VPSRLD(Imm(24), top, top)
	s.fold(top, s.max)
}

func genLevelSquares() {
	s := avx2
	s.text("LevelSquares", "func(level *byte, n int) uint32", "returns the sum of the squares.")
	level, n := load64("level"), load64("n")
	sum := s.zero()
	loop(n, func() {
		v := s.vec()
		VPMOVSXBW(at(level, 0), v)
		VPMADDWD(v, v, v)
		VPADDD(v, sum, sum)
	}, pointer{level, 16})
	s.fold(sum, s.sum)
}

// genFetch asks for 64 bytes at a time.
func genFetch() {
	TEXT("fetch", NOSPLIT, "func(p *byte, n int)")
	Doc("fetch asks for n cache lines that are soon to be read.")
	p, n := load64("p"), load64("n")
	loop(n, func() { PREFETCHT1(at(p, 0)) }, pointer{p, 64})
	RET()
}

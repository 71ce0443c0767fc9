package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa hides what differs between AVX2 and AVX-512: the width of a register and how a comparison selects lanes.
type isa struct {
	name  string
	lanes int // float32 per register
}

var (
	avx2   = &isa{"avx2", 8}
	avx512 = &isa{"avx512", 16}
)

func (s *isa) wide() bool { return s.lanes == 16 }

func (s *isa) vec() VecVirtual {
	if s.wide() {
		return ZMM()
	}
	return YMM()
}

// each runs f for the registers of one block of sixteen; off is the byte offset of float32 elements.
func (s *isa) each(f func(off int)) {
	for u := range 16 / s.lanes {
		f(4 * u * s.lanes)
	}
}

func (s *isa) text(name, signature, doc string) {
	TEXT(s.name+name, NOSPLIT, signature)
	Doc(s.name + name + " " + doc)
}

func (s *isa) zero() VecVirtual {
	v := s.vec()
	if s.wide() {
		VPXORD(v, v, v)
	} else {
		VPXOR(v, v, v)
	}
	return v
}

// broadcast loads a 32-bit argument into all lanes.
func (s *isa) broadcast(arg string) VecVirtual {
	v := s.vec()
	a, err := Param(arg).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(a.Addr, v)
	return v
}

var constants = map[uint32]Mem{}

// bits returns a register with a 32-bit constant in every lane.
func (s *isa) bits(b uint32) VecVirtual {
	m, ok := constants[b]
	if !ok {
		m = GLOBL(fmt.Sprintf("c%08x", b), RODATA|NOPTR)
		DATA(0, U32(b))
		constants[b] = m
	}
	v := s.vec()
	VPBROADCASTD(m, v)
	return v
}

// and sets dst = a & b.
func (s *isa) and(a Op, b, dst VecVirtual) {
	if s.wide() {
		VPANDD(a, b, dst)
	} else {
		VPAND(a, b, dst)
	}
}

// above returns the mask of lanes where a > b as int32.
func (s *isa) above(a, b VecVirtual) Op {
	if s.wide() {
		k := K()
		VPCMPD(U8(6), b, a, k)
		return k
	}
	m := s.vec()
	VPCMPGTD(b, a, m)
	return m
}

// flush replaces the magnitudes below least of v by +0; sign is 0x7fffffff.
func (s *isa) flush(v, sign, least VecVirtual) {
	m := s.vec()
	s.and(v, sign, m)
	if s.wide() {
		k := K()
		VPCMPD(U8(5), least, m, k) // not less
		VMOVDQA32_Z(v, k, v)
	} else {
		below := s.above(least, m).(VecVirtual)
		VPANDN(v, below, v)
	}
}

// fold joins the int32 lanes of v with op and returns the result from the function.
func (s *isa) fold(v VecVirtual, op func(a Op, b, dst VecVirtual)) {
	Store(s.join(v, op), ReturnIndex(0))
	ret()
}

// join joins the int32 lanes of v with op, and spoils v.
func (s *isa) join(v VecVirtual, op func(a Op, b, dst VecVirtual)) GPVirtual {
	r, t := GP32(), s.vec()
	if s.wide() {
		for _, imm := range []uint64{0x4e, 0xb1} { // halves, then quarters
			VSHUFI64X2(Imm(imm), v, v, t)
			op(t, v, v)
		}
	} else {
		VPERMQ(Imm(0x4e), v, t)
		op(t, v, v)
	}
	for _, imm := range []uint64{0x4e, 0xb1} {
		VPSHUFD(Imm(imm), v, t)
		op(t, v, v)
	}
	VMOVD(v.AsX(), r)
	return r
}

// pointer is one that walks through memory: stride bytes per block.
type pointer struct {
	reg    Register
	stride uint64
}

// loop emits body for n blocks, of which there is at least one.
func loop(n GPVirtual, body func(), pointers ...pointer) {
	Label("loop")
	body()
	for _, p := range pointers {
		ADDQ(Imm(p.stride), p.reg)
	}
	DECQ(n)
	JNZ(LabelRef("loop"))
}

// floats is a pointer to float32 elements.
func floats(p Register) pointer { return pointer{p, 64} }

func ret() {
	VZEROUPPER()
	RET()
}

func load64(arg string) GPVirtual { return Load(Param(arg), GP64()).(GPVirtual) }

func at(p Register, off int) Mem { return Mem{Base: p, Disp: off} }

package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// isa hides what differs between AVX2 and AVX-512: the width of a register and
// how a comparison selects lanes.
type isa struct {
	name  string
	lanes int // float32 per register
	mr    int // rows of the main matrix tile
	nv    int // registers per row of a matrix tile
}

var (
	avx2   = &isa{"avx2", 8, 6, 2}
	avx512 = &isa{"avx512", 16, 12, 2}
)

func (s *isa) wide() bool { return s.lanes == 16 }

// per16 is the number of registers that hold sixteen elements.
func (s *isa) per16() int { return 16 / s.lanes }

func (s *isa) bytes() int { return 4 * s.lanes }

func (s *isa) vec() VecVirtual {
	if s.wide() {
		return ZMM()
	}
	return YMM()
}

// vecs returns the registers for sixteen elements.
func (s *isa) vecs() []VecVirtual {
	v := make([]VecVirtual, s.per16())
	for i := range v {
		v[i] = s.vec()
	}
	return v
}

// each runs f for the registers of one block of sixteen; off is the byte offset.
func (s *isa) each(f func(u, off int)) {
	for u := range s.per16() {
		f(u, u*s.bytes())
	}
}

func (s *isa) text(name, signature, doc string) {
	TEXT(s.name+name, NOSPLIT, signature)
	Doc(s.name + name + " " + doc)
}

func (s *isa) zero(v VecVirtual) {
	if s.wide() {
		VPXORD(v, v, v)
	} else {
		VXORPS(v, v, v)
	}
}

func (s *isa) ret() {
	VZEROUPPER()
	RET()
}

// broadcast loads a float32 argument into all lanes.
func (s *isa) broadcast(arg string) VecVirtual {
	v := s.vec()
	a, err := Param(arg).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(a.Addr, v)
	return v
}

// field broadcasts the i-th float32 at p.
func (s *isa) field(p Register, i int) VecVirtual {
	v := s.vec()
	VBROADCASTSS(Mem{Base: p, Disp: 4 * i}, v)
	return v
}

var constants = map[uint32]Mem{}

// bits returns sixteen copies of a 32-bit constant.
func bits(b uint32) Mem {
	m, ok := constants[b]
	if !ok {
		m = GLOBL(fmt.Sprintf("c%08x", b), RODATA|NOPTR)
		for i := range 16 {
			DATA(4*i, U32(b))
		}
		constants[b] = m
	}
	return m
}

func constant(x float32) Mem { return bits(math.Float32bits(x)) }

// Predicates of VCMPPS, ordered and quiet.
const (
	cmpLT    = 0x11
	cmpGT    = 0x1e
	cmpUnord = 0x03
	cmpOrd   = 0x07
	cmpLE    = 0x12
	cmpNLE   = 0x16 // not less than or equal, or not ordered
)

// cmp returns the mask of lanes where a pred b holds.
func (s *isa) cmp(pred uint8, a VecVirtual, b Op) Op {
	if s.wide() {
		k := K()
		VCMPPS(U8(pred), b, a, k)
		return k
	}
	m := s.vec()
	VCMPPS(U8(pred), b, a, m)
	return m
}

// signedLess returns the mask of lanes where a < b as int32.
func (s *isa) signedLess(a VecVirtual, b Mem) Op {
	if s.wide() {
		k := K()
		VPCMPD(U8(1), b, a, k)
		return k
	}
	m := s.vec()
	VMOVUPS(b, m)
	VPCMPGTD(a, m, m)
	return m
}

// both returns the lanes that are in two masks.
func (s *isa) both(a, b Op) Op {
	if s.wide() {
		k := K()
		KANDW(a, b, k)
		return k
	}
	m := s.vec()
	VANDPS(a, b, m)
	return m
}

// set replaces the lanes of v in mask by those of x.
func (s *isa) set(v VecVirtual, mask, x Op) {
	if s.wide() {
		VMOVUPS(x, mask, v)
	} else {
		VBLENDVPS(mask, x, v, v)
	}
}

// setZero replaces the lanes of v in mask by +0.
func (s *isa) setZero(v VecVirtual, mask Op) {
	if s.wide() {
		VPXORD(v, v, mask, v)
	} else {
		VANDNPS(v, mask, v)
	}
}

func (s *isa) and(m Op, a, dst VecVirtual) {
	if s.wide() {
		VPANDD(m, a, dst)
	} else {
		VANDPS(m, a, dst)
	}
}

func (s *isa) xor(m Op, a, dst VecVirtual) {
	if s.wide() {
		VPXORD(m, a, dst)
	} else {
		VXORPS(m, a, dst)
	}
}

// flush replaces magnitudes below 2^-126 by +0.
func (s *isa) flush(v VecVirtual) {
	a := s.vec()
	s.and(bits(0x7fffffff), v, a)
	s.setZero(v, s.signedLess(a, bits(0x00800000)))
}

// loop emits body for n blocks of sixteen elements and then advances the given
// pointers past the block. n is consumed; it may be zero.
func loop(name string, n GPVirtual, ptrs []Register, body func()) {
	TESTQ(n, n)
	JZ(LabelRef(name + "End"))
	Label(name)
	body()
	for _, p := range ptrs {
		ADDQ(Imm(64), p)
	}
	DECQ(n)
	JNZ(LabelRef(name))
	Label(name + "End")
}

func load64(arg string) GPVirtual { return Load(Param(arg), GP64()).(GPVirtual) }

func at(p Register, off int) Mem { return Mem{Base: p, Disp: off} }

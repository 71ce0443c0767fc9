package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// genGemm emits one tile of a matrix product, mr rows by nv registers, over one
// fold block of k steps.
func genGemm(s *isa, name string, mr int) {
	s.text(name, "func(k int, a *float32, ars, acs int, b *float32, brs int, c *float32, crs int, mode int)",
		fmt.Sprintf("folds a %dx%d tile: acc = fma(a[i*ars+p*acs], b[p*brs+j], acc) for p in [0,k).\n"+
			"// mode 0: acc from +0, c = acc. mode 1: acc from +0, c += acc. mode 2: acc from c, c = acc.", mr, s.nv*s.lanes))
	k, b, c := load64("k"), load64("b"), load64("c")
	ars, acs, brs, crs := load64("ars"), load64("acs"), load64("brs"), load64("crs")
	for _, r := range []GPVirtual{ars, acs, brs, crs} {
		SHLQ(Imm(2), r)
	}
	// One base pointer for three rows: base, base+ars, base+2*ars.
	bases := []GPVirtual{load64("a")}
	for g := 1; g*3 < mr; g++ {
		p := GP64()
		LEAQ(Mem{Base: bases[g-1], Index: ars, Scale: 2}, p)
		ADDQ(ars, p)
		bases = append(bases, p)
	}
	acc := make([][]VecVirtual, mr)
	for i := range acc {
		for range s.nv {
			acc[i] = append(acc[i], s.vec())
			s.zero(acc[i][len(acc[i])-1])
		}
	}
	mode := load64("mode")
	CMPQ(mode, Imm(2))
	JLT(LabelRef("start"))
	p := GP64()
	MOVQ(c, p)
	eachTile(s, acc, p, crs, func(v VecVirtual, m Mem) { VMOVUPS(m, v) })

	Label("start")
	TESTQ(k, k)
	JZ(LabelRef("finish"))
	Label("step")
	gemmStep(s, acc, bases, ars, b)
	for _, base := range bases {
		ADDQ(acs, base)
	}
	ADDQ(brs, b)
	DECQ(k)
	JNZ(LabelRef("step"))

	Label("finish")
	TESTQ(U32(1), mode)
	JZ(LabelRef("store"))
	MOVQ(c, p)
	eachTile(s, acc, p, crs, func(v VecVirtual, m Mem) { VADDPS(m, v, v) })
	Label("store")
	eachTile(s, acc, c, crs, func(v VecVirtual, m Mem) { VMOVUPS(v, m) })
	s.ret()
}

func gemmStep(s *isa, acc [][]VecVirtual, bases []GPVirtual, ars, b GPVirtual) {
	cols := make([]VecVirtual, s.nv)
	for j := range cols {
		cols[j] = s.vec()
		VMOVUPS(at(b, j*s.bytes()), cols[j])
	}
	for i := range acc {
		m := Mem{Base: bases[i/3]}
		if i%3 > 0 {
			m.Index, m.Scale = ars, uint8(i%3)
		}
		x := s.vec()
		VBROADCASTSS(m, x)
		for j, col := range cols {
			VFMADD231PS(x, col, acc[i][j])
		}
	}
}

// eachTile visits the registers of a tile with their places in c; p is advanced.
func eachTile(s *isa, acc [][]VecVirtual, p, crs Register, f func(VecVirtual, Mem)) {
	for i, row := range acc {
		for j, v := range row {
			f(v, at(p, j*s.bytes()))
		}
		if i+1 < len(acc) {
			ADDQ(crs, p)
		}
	}
}

// genCopyRows emits the copy of rows as wide as a tile, which packs a matrix.
func genCopyRows(s *isa) {
	s.text("CopyRows", "func(dst *float32, drs int, src *float32, srs int, rows int)",
		fmt.Sprintf("copies rows of %d elements.", s.nv*s.lanes))
	dst, drs, src, srs, n := load64("dst"), load64("drs"), load64("src"), load64("srs"), load64("rows")
	SHLQ(Imm(2), drs)
	SHLQ(Imm(2), srs)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("row")
	for j := range s.nv {
		v := s.vec()
		VMOVUPS(at(src, j*s.bytes()), v)
		VMOVUPS(v, at(dst, j*s.bytes()))
	}
	ADDQ(drs, dst)
	ADDQ(srs, src)
	DECQ(n)
	JNZ(LabelRef("row"))
	Label("done")
	s.ret()
}

// genCopySteps emits the copy of rows as long as a tile is tall, which packs a
// transposed left matrix.
func genCopySteps(s *isa) {
	s.text("CopySteps", "func(dst, src *float32, srs int, steps int)",
		fmt.Sprintf("copies rows of %d elements of src to dst, one after the other.", s.mr))
	dst, src, srs, n := load64("dst"), load64("src"), load64("srs"), load64("steps")
	SHLQ(Imm(2), srs)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	if s.mr < s.lanes {
		// A whole register at a time, the next row overwriting what is too much. The last rows are done by themselves.
		const unroll = 4
		Label("wide")
		CMPQ(n, Imm(unroll))
		JLE(LabelRef("row"))
		for range unroll {
			w := s.vec()
			VMOVUPS(at(src, 0), w)
			ADDQ(srs, src)
			VMOVUPS(w, at(dst, 0))
			ADDQ(Imm(uint64(4*s.mr)), dst)
		}
		SUBQ(Imm(unroll), n)
		JMP(LabelRef("wide"))
	}
	Label("row")
	v := XMM()
	for off := 0; off+16 <= 4*s.mr; off += 16 {
		VMOVUPS(at(src, off), v)
		VMOVUPS(v, at(dst, off))
	}
	if s.mr%4 == 2 {
		VMOVSD(at(src, 4*s.mr-8), v)
		VMOVSD(v, at(dst, 4*s.mr-8))
	}
	ADDQ(Imm(uint64(4*s.mr)), dst)
	ADDQ(srs, src)
	DECQ(n)
	JNZ(LabelRef("row"))
	Label("done")
	s.ret()
}

// genPause emits the loop that waits without disturbing the other thread of a core.
func genPause() {
	TEXT("pause", NOSPLIT, "func(n int)")
	Doc("pause waits for n short moments, n at least 1.")
	n := load64("n")
	Label("again")
	PAUSE()
	DECQ(n)
	JNZ(LabelRef("again"))
	RET()
}

// genTranspose emits the transposition of a strip of 8x8 blocks.
func genTranspose() {
	TEXT("avx2Transpose8", NOSPLIT, "func(dst *float32, drs int, src *float32, srs int, blocks int)")
	Doc("avx2Transpose8 writes the transpose of src, 8 rows of 8*blocks elements, to dst, 8*blocks rows of 8.")
	dst, drs, src, srs, n := load64("dst"), load64("drs"), load64("src"), load64("srs"), load64("blocks")
	SHLQ(Imm(2), drs)
	SHLQ(Imm(2), srs)
	src4, tmp := GP64(), GP64()
	LEAQ(Mem{Base: src, Index: srs, Scale: 4}, src4)
	srs3 := GP64()
	LEAQ(Mem{Base: srs, Index: srs, Scale: 2}, srs3)
	TESTQ(n, n)
	JZ(LabelRef("done"))
	Label("block")
	r := make([]VecVirtual, 8)
	for i := range r {
		m := Mem{Base: src}
		if i >= 4 {
			m.Base = src4
		}
		switch i % 4 {
		case 1, 2:
			m.Index, m.Scale = srs, uint8(i%4)
		case 3:
			m.Index, m.Scale = srs3, 1
		}
		r[i] = YMM()
		VMOVUPS(m, r[i])
	}
	r = transposed(r)
	MOVQ(dst, tmp)
	for i, v := range r {
		VMOVUPS(v, at(tmp, 0))
		if i < 7 {
			ADDQ(drs, tmp)
		}
	}
	LEAQ(Mem{Base: dst, Index: drs, Scale: 8}, dst)
	ADDQ(Imm(32), src)
	ADDQ(Imm(32), src4)
	DECQ(n)
	JNZ(LabelRef("block"))
	Label("done")
	VZEROUPPER()
	RET()
}

// transposed interleaves pairs, then quads, then halves.
func transposed(r []VecVirtual) []VecVirtual {
	t, u, v := make([]VecVirtual, 8), make([]VecVirtual, 8), make([]VecVirtual, 8)
	for i := range 8 {
		t[i], u[i], v[i] = YMM(), YMM(), YMM()
	}
	for i := 0; i < 8; i += 2 {
		VUNPCKLPS(r[i+1], r[i], t[i])
		VUNPCKHPS(r[i+1], r[i], t[i+1])
	}
	for i := 0; i < 8; i += 4 {
		for j := range 2 {
			VSHUFPS(Imm(0x44), t[i+j+2], t[i+j], u[i+2*j])
			VSHUFPS(Imm(0xee), t[i+j+2], t[i+j], u[i+2*j+1])
		}
	}
	for i := range 4 {
		VPERM2F128(Imm(0x20), u[i+4], u[i], v[i])
		VPERM2F128(Imm(0x31), u[i+4], u[i], v[i+4])
	}
	return v
}

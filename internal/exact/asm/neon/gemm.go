package main

import "fmt"

// A matrix tile is tileRows rows of four registers. Its 24 accumulators keep the
// fused multiply-add units of a wide core busy; six registers for A and two for B
// complete the 32.
const (
	tileRows = 6
	tileRegs = 4
)

// tile holds the registers of one tile kernel.
type tile struct {
	*kernel
	acc  [][]vreg
	a, b []vreg
	rows []greg // where each row of A is
	bp   greg
	brs  greg
}

// genGemm emits one tile of a matrix product, mr rows, over one fold block of k
// steps.
func genGemm(f *file, name string, mr int) {
	k := f.kernel(name, "func(k int, a *float32, ars, acs int, b *float32, brs int, c *float32, crs, mode int)",
		fmt.Sprintf("folds a %dx%d tile: acc = fma(a[i*ars+p*acs], b[p*brs+j], acc) for p in [0,k).\n"+
			"mode 0: acc from +0, c = acc. mode 1: acc from +0, c += acc. mode 2: acc from c, c = acc.", mr, 4*tileRegs))
	n, ars, acs := k.load("k"), k.load("ars"), k.load("acs")
	g := &tile{kernel: k, rows: []greg{k.load("a")}, bp: k.load("b"), brs: k.load("brs")}
	c, crs, mode := k.load("c"), k.load("crs"), k.load("mode")
	k.elements(ars, acs, g.brs, crs)
	for i := 1; i < mr; i++ {
		g.rows = append(g.rows, k.gpr())
		k.line("ADD %s, %s, %s", ars, g.rows[i-1], g.rows[i])
	}
	for i := range mr {
		g.acc = append(g.acc, k.vecN(tileRegs))
		for _, v := range g.acc[i] {
			k.zero(v)
		}
	}
	g.a = k.vecN(mr)
	g.b = k.vecN(min(tileRegs, lastVec+1-k.vecs))
	p := k.gpr()
	k.line("CMP $2, %s", mode)
	k.line("BLT start")
	k.line("MOVD %s, %s", c, p)
	g.each(p, crs, func(v, w vreg, off int) { k.ld2(v, w, p, off) })
	k.label("start")
	g.fold(n, ars, acs)
	k.label("finish")
	k.line("TBZ $0, %s, store", mode)
	k.line("MOVD %s, %s", c, p)
	g.each(p, crs, func(v, w vreg, off int) {
		k.ld2(g.b[0], g.b[1], p, off)
		k.do("fadd", v, v, g.b[0])
		k.do("fadd", w, w, g.b[1])
	})
	k.label("store")
	g.each(c, crs, func(v, w vreg, off int) { k.st2(v, w, c, off) })
	k.done()
}

// fold emits the loops over the steps: four at a time where the rows of A are in
// line, whole steps where its columns are, single elements otherwise.
func (g *tile) fold(n, ars, acs greg) {
	k, mr := g.kernel, len(g.rows)
	k.line("CBZ %s, finish", n)
	if mr > 1 {
		k.line("CMP $4, %s", ars)
		k.line("BEQ steps")
	}
	k.line("CMP $4, %s", acs)
	k.line("BNE single")
	k.line("CMP $4, %s", n)
	k.line("BLT single")
	k.label("quads")
	for i, p := range g.rows {
		k.line("FMOVQ.P 16(%s), %s", p, g.a[i].f())
	}
	for s := range 4 {
		g.step(func(i int) (vreg, int) { return g.a[i], s })
	}
	k.line("SUB $4, %s", n)
	k.line("CMP $4, %s", n)
	k.line("BGE quads")
	k.line("CBZ %s, finish", n)
	k.label("single")
	for i, p := range g.rows {
		k.line("FMOVS (%s), %s", p, g.a[i].f())
		k.addTo(p, acs)
	}
	g.step(func(i int) (vreg, int) { return g.a[i], 0 })
	k.next(n, "single")
	if mr == 1 {
		return
	}
	k.line("B finish")
	k.label("steps")
	k.copyElements(mr, func(i, off int, move string) { k.line("%s %d(%s), %s", move, off, g.rows[0], g.a[i].f()) })
	k.addTo(g.rows[0], acs)
	g.step(func(i int) (vreg, int) { return g.a[i/4], i % 4 })
	k.next(n, "steps")
}

// step emits one step; a says in which lane of which register row i of A is.
func (g *tile) step(a func(i int) (vreg, int)) {
	for j := 0; j < tileRegs; j += 2 {
		b := g.b[j%len(g.b):]
		g.ld2(b[0], b[1], g.bp, 16*j)
		for i := range g.acc {
			x, lane := a(i)
			g.fmaElement(g.acc[i][j], b[0], x, lane)
			g.fmaElement(g.acc[i][j+1], b[1], x, lane)
		}
	}
	g.addTo(g.bp, g.brs)
}

// each visits pairs of registers of a tile with their places at p, which is
// advanced.
func (g *tile) each(p, stride greg, f func(v, w vreg, off int)) {
	for i, row := range g.acc {
		for j := 0; j < tileRegs; j += 2 {
			f(row[j], row[j+1], 16*j)
		}
		if i+1 < len(g.acc) {
			g.addTo(p, stride)
		}
	}
}

// copyElements covers n elements in line, n even, with moves of 16 and of 8 bytes.
func (k *kernel) copyElements(n int, f func(i, off int, move string)) {
	for at := 0; at < n; at += 4 {
		if n-at >= 4 {
			f(at/4, 4*at, "FMOVQ")
		} else {
			f(at/4, 4*at, "FMOVD")
		}
	}
}

// genCopyRows emits the copy of rows as wide as a tile, which packs a matrix.
func genCopyRows(f *file) {
	k := f.kernel("CopyRows", "func(dst *float32, drs int, src *float32, srs int, rows int)",
		fmt.Sprintf("copies rows of %d elements.", 4*tileRegs))
	dst, drs, src, srs, n := k.load("dst"), k.load("drs"), k.load("src"), k.load("srs"), k.load("rows")
	v := k.vecN(tileRegs)
	k.elements(drs, srs)
	k.line("CBZ %s, end", n)
	k.label("row")
	for j := 0; j < tileRegs; j += 2 {
		k.ld2(v[j], v[j+1], src, 16*j)
	}
	for j := 0; j < tileRegs; j += 2 {
		k.st2(v[j], v[j+1], dst, 16*j)
	}
	k.addTo(dst, drs)
	k.addTo(src, srs)
	k.next(n, "row")
	k.label("end")
	k.done()
}

// genCopySteps emits the copy of rows as long as a tile is tall, which packs a
// transposed left matrix.
func genCopySteps(f *file) {
	k := f.kernel("CopySteps", "func(dst, src *float32, srs int, steps int)",
		fmt.Sprintf("copies rows of %d elements of src to dst, one after the other.", tileRows))
	dst, src, srs, n := k.load("dst"), k.load("src"), k.load("srs"), k.load("steps")
	v := k.vecN(2)
	k.elements(srs)
	k.line("CBZ %s, end", n)
	k.label("step")
	k.copyElements(tileRows, func(i, off int, move string) { k.line("%s %d(%s), %s", move, off, src, v[i].f()) })
	k.copyElements(tileRows, func(i, off int, move string) { k.line("%s %s, %d(%s)", move, v[i].f(), off, dst) })
	k.addTo(dst, fmt.Sprintf("$%d", 4*tileRows))
	k.addTo(src, srs)
	k.next(n, "step")
	k.label("end")
	k.done()
}

// genTranspose emits the transposition of a strip of 8x8 blocks, in quarters.
func genTranspose(f *file) {
	k := f.kernel("Transpose8", "func(dst *float32, drs int, src *float32, srs int, blocks int)",
		"writes the transpose of src, 8 rows of 8*blocks elements, to dst, 8*blocks rows of 8.")
	dst, drs, src, srs, n := k.load("dst"), k.load("drs"), k.load("src"), k.load("srs"), k.load("blocks")
	p := k.gpr()
	k.elements(drs, srs)
	k.line("CBZ %s, end", n)
	k.label("block")
	left, right := k.vecN(8), k.vecN(8) // columns 0 to 3 and 4 to 7 of each row
	k.line("MOVD %s, %s", src, p)
	for i := range 8 {
		k.ld2(left[i], right[i], p, 0)
		if i < 7 {
			k.addTo(p, srs)
		}
	}
	for _, half := range [][]vreg{left, right} {
		top, bottom := k.transposed(half[:4]), k.transposed(half[4:])
		for i := range 4 {
			k.st2(top[i], bottom[i], dst, 0)
			k.addTo(dst, drs)
		}
		k.vecs -= 8
	}
	k.addTo(src, "$32")
	k.next(n, "block")
	k.label("end")
	k.done()
}

// transposed interleaves pairs, then halves, of four registers, and returns the
// result in new ones; r is overwritten.
func (k *kernel) transposed(r []vreg) []vreg {
	t := k.vecN(4)
	for i := 0; i < 4; i += 2 {
		k.do("trn1s", t[i], r[i], r[i+1])
		k.do("trn2s", t[i+1], r[i], r[i+1])
	}
	for i := range 2 {
		k.do("trn1d", r[i], t[i], t[i+2])
		k.do("trn2d", r[i+2], t[i], t[i+2])
	}
	return r
}

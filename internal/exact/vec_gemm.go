package exact

import "math"

// packedElems bounds the memory that holds the packed part of B: 4 Mi elements.
const packedElems = 1 << 22

// vecGemm packs B, or as many of its columns as fit, into panels of nr columns,
// each panel row by row, and then folds tiles of C, stage by stage of k (see vector):
//
//	panel 0: b[0,0..nr) b[1,0..nr) ... b[k-1,0..nr)   panel 1: b[0,nr..2nr) ...
//
// Columns past n are +0; they only reach elements that are dropped.
func (e *Engine) vecGemm(g *gemmArgs) {
	if g.k == 0 {
		if !g.accumulate {
			for i := range g.m {
				clear(g.c[i*g.ldc:][:g.n])
			}
		}
		return
	}
	nr := e.vec.nr
	panels := pieces(g.n, nr)
	g.panels = max(1, min(panels, packedElems/(g.k*nr)))
	for g.panel = 0; g.panel < panels; g.panel += g.panels {
		g.panels = min(g.panels, panels-g.panel)
		g.packed = e.shared.floats(slotPack, g.panels*g.k*nr)
		g.kPieces = pieces(g.k, e.vec.stage)
		e.splitGemm(g)
		e.packOperands(g)
		e.pool.run(e, pieces(g.m, g.rowsPer)*pieces(g.panels, g.colsPer), func(e *Engine, w, i int) {
			g := &e.args.gemm
			across := pieces(g.panels, g.colsPer)
			e.gemmPiece(g, i/across, i%across, w)
		})
	}
}

// packOperands packs all panels and, where several pieces read the same rows of a
// transposed A, those too; alone if that is quicker than to wake the workers.
func (e *Engine) packOperands(g *gemmArgs) {
	const alone = 1 << 14
	g.tall = nil
	chunks := 0
	if g.transposed() && g.colsPer < g.panels && g.m <= packedElems/g.k {
		g.tall = e.shared.floats(slotTall, g.m*g.k)
		chunks = pieces(g.m, g.rowsPer)
	}
	n := (g.panels + chunks) * g.kPieces
	if len(g.packed)+len(g.tall) <= alone {
		for i := range n {
			e.packOperand(g, i)
		}
		return
	}
	e.pool.run(e, n, func(e *Engine, _, i int) { e.packOperand(&e.args.gemm, i) })
}

// packOperand packs one stage of one panel of B or of one chunk of A.
func (e *Engine) packOperand(g *gemmArgs, i int) {
	at, stage := i/g.kPieces, i%g.kPieces
	if at < g.panels {
		e.vec.packPanel(g, at, stage)
		return
	}
	lo, hi := span(stage, e.vec.stage, g.k)
	r0, r1 := span(at-g.panels, g.rowsPer, g.m)
	st := gemmStage{lo: lo, k: hi - lo, r0: r0, rows: r1 - r0, tall: g.tall[lo*g.m+r0*(hi-lo):]}
	e.packSteps(g, &st)
}

// splitGemm chooses the pieces of C, each of some tiles of rows by some panels: those
// that end soonest if workers take them one after the other.
//
// The unit is the time of a main tile. A panel costs a little once per piece, since it
// comes from further away, and so do rows of a transposed A that a piece copies.
func (e *Engine) splitGemm(g *gemmArgs) {
	const perPiece, perPanel, perRows = 0.2, 0.25, 0.3
	mr, best := e.vec.mr, math.Inf(1)
	for across := 1; across <= g.panels; across *= 2 {
		cols := pieces(g.panels, across)
		cost := func(rows int) float64 {
			height := float64(rows) / float64(mr)
			c := perPiece + float64((height+perPanel)*float64(cols))
			if g.transposed() && across == 1 {
				c += float64(height * perRows)
			}
			return c
		}
		for tiles := 1; tiles <= e.vec.tall; tiles++ {
			rows := min(tiles*mr, g.m)
			wide := pieces(g.panels, cols)
			end := makespan(e.pool.threads, g.m/rows*wide, cost(rows), wide, cost(g.m%rows))
			if end < best {
				best, g.rowsPer, g.colsPer = end, tiles*mr, cols
			}
			if rows == g.m {
				break
			}
		}
	}
}

// makespan returns when workers are done that take n pieces of time t and then m
// pieces of time u, at most t. Products are converted so that they are not fused:
// not because it matters here, but so that the whole package can be searched.
func makespan(workers, n int, t float64, m int, u float64) float64 {
	turns, busy := n/workers, n%workers
	if busy == 0 {
		return float64(float64(turns)*t) + float64(float64(pieces(m, workers))*u)
	}
	gaps := (workers - busy) * int(t/u)
	return float64(float64(turns+1)*t) + float64(float64(pieces(max(m-gaps, 0), workers))*u)
}

// packPanel packs one stage of one panel.
func (v *vector) packPanel(g *gemmArgs, panel, stage int) {
	lo, hi := span(stage, v.stage, g.k)
	j := (g.panel + panel) * v.nr
	cols := min(v.nr, g.n-j)
	dst := g.packed[(panel*g.k+lo)*v.nr : (panel*g.k+hi)*v.nr]
	v.pack(dst, g.b[lo*g.brs+j*g.bcs:], g.brs, g.bcs, hi-lo, cols)
}

// pack copies rows x cols elements of src, with strides rs and cs, one of which
// is 1, to rows of nr elements, the rest of which becomes +0.
func (v *vector) pack(dst, src []float32, rs, cs, rows, cols int) {
	if rows == 0 {
		return
	}
	if cols < v.nr {
		clear(dst[:rows*v.nr])
	}
	if cs == 1 {
		if cols == v.nr {
			v.copyRows(&dst[0], v.nr, &src[0], rs, rows)
			return
		}
		for p := range rows {
			copy(dst[p*v.nr:][:cols], src[p*rs:])
		}
		return
	}
	strips, whole := rows/8, rows/8*8
	j := 0
	for ; j+8 <= cols && strips > 0; j += 8 {
		v.transpose8(&dst[j], v.nr, &src[j*cs], cs, strips)
		for p := whole; p < rows; p++ {
			for i := j; i < j+8; i++ {
				dst[p*v.nr+i] = src[p*rs+i*cs]
			}
		}
	}
	for ; j < cols; j++ {
		for p := range rows {
			dst[p*v.nr+j] = src[p*rs+j*cs]
		}
	}
}

// gemmPiece folds one piece of C, stage by stage of k.
func (e *Engine) gemmPiece(g *gemmArgs, down, across, w int) {
	v := e.vec
	r0, r1 := span(down, g.rowsPer, g.m)
	p0, p1 := span(across, g.colsPer, g.panels)
	for lo := 0; lo < g.k; lo += v.stage {
		st := gemmStage{lo: lo, k: min(v.stage, g.k-lo), r0: r0, rows: r1 - r0, mode: tileAdd}
		if lo == 0 && !g.accumulate {
			st.mode = tileStore
		}
		e.packRows(g, &st, w)
		for p := p0; p < p1; p++ {
			b, j := g.packed[(p*g.k+lo)*v.nr:], (g.panel+p)*v.nr
			if cols := g.n - j; cols < v.nr {
				e.foldEdge(g, &st, b, g.c[r0*g.ldc+j:], cols, w)
			} else {
				e.foldPanel(g, &st, b, g.c[r0*g.ldc+j:], g.ldc)
			}
		}
	}
}

// gemmStage is a stage of k for a chunk of rows of op(A).
type gemmStage struct {
	lo, k    int
	r0, rows int
	mode     int
	tall     []float32 // the rows copied, tile by tile; nil where they are read in place
	strided  bool      // the copy is of rows, not of steps
}

// Copies of rows lie in different cache sets.
const rowPad = 16

// foldPanel folds all rows of a chunk with one panel into c, block by block.
func (e *Engine) foldPanel(g *gemmArgs, st *gemmStage, b, c []float32, ldc int) {
	v := e.vec
	for i := 0; i < st.rows; {
		rows, tile := v.tileFor(st.rows - i)
		mode := st.mode
		for lo := 0; lo < st.k; lo += foldBlock {
			a, ars, acs := g.rowsAt(st, i, lo, rows)
			tile(min(foldBlock, st.k-lo), a, ars, acs, &b[lo*v.nr], v.nr, &c[i*ldc], ldc, mode)
			mode = tileAdd
		}
		i += rows
	}
}

// foldEdge is foldPanel for the last panel, of which only some columns count.
func (e *Engine) foldEdge(g *gemmArgs, st *gemmStage, b, c []float32, cols, w int) {
	nr := e.vec.nr
	t := e.scratch[w].floats(slotTile, st.rows*nr)
	if st.mode == tileAdd {
		for r := range st.rows {
			copy(t[r*nr:][:cols], c[r*g.ldc:])
		}
	}
	e.foldPanel(g, st, b, t, nr)
	for r := range st.rows {
		copy(c[r*g.ldc:][:cols], t[r*nr:])
	}
}

// rowsAt returns where the tile of rows from row i of a chunk and step lo of its
// block lies, and its strides.
func (g *gemmArgs) rowsAt(st *gemmStage, i, lo, rows int) (a *float32, ars, acs int) {
	switch {
	case st.tall == nil:
		return &g.a[(st.r0+i)*g.ars+(st.lo+lo)*g.acs], g.ars, g.acs
	case st.strided:
		return &st.tall[i*(st.k+rowPad)+lo], st.k + rowPad, 1
	default:
		return &st.tall[i*st.k+lo*rows], 1, rows
	}
}

// packRows copies the rows of a chunk where reading them in place would miss the
// cache: those of a transposed matrix to one step after the other per tile, those
// whose strides share cache sets to strides that do not.
func (e *Engine) packRows(g *gemmArgs, st *gemmStage, w int) {
	switch {
	case g.tall != nil:
		st.tall = g.tall[st.lo*g.m+st.r0*st.k:]
	case g.transposed():
		st.tall = e.scratch[w].floats(slotTall, st.rows*st.k)
		e.packSteps(g, st)
	case g.acs == 1 && g.ars%512 == 0:
		st.tall, st.strided = e.scratch[w].floats(slotTall, st.rows*(st.k+rowPad)), true
		for i := range st.rows {
			copy(st.tall[i*(st.k+rowPad):][:st.k], g.a[(st.r0+i)*g.ars+st.lo:])
		}
	}
}

// transposed reports whether steps of op(A), not rows, lie in line.
func (g *gemmArgs) transposed() bool { return g.ars == 1 && g.acs != 1 }

// packSteps copies a chunk of a transposed matrix to st.tall.
func (e *Engine) packSteps(g *gemmArgs, st *gemmStage) {
	const stretch = 64 // steps whose cache lines serve all tiles
	v := e.vec
	for lo := 0; lo < st.k; lo += stretch {
		steps := min(stretch, st.k-lo)
		for i := 0; i < st.rows; {
			rows, _ := v.tileFor(st.rows - i)
			dst, src := st.tall[i*st.k+lo*rows:], g.a[st.r0+i+(st.lo+lo)*g.acs:]
			if rows == v.mr {
				v.copySteps(&dst[0], &src[0], g.acs, steps)
			} else {
				for p := range steps {
					copy(dst[p*rows:][:rows], src[p*g.acs:])
				}
			}
			i += rows
		}
	}
}

// tileFor returns the tile for the next of the rows left: the tallest that fits,
// but four rows where that leaves no odd ones.
func (v *vector) tileFor(left int) (rows int, tile tileFunc) {
	switch {
	case left >= v.mr && (left == v.mr || left >= v.mr+4 || left%4 != 0):
		return v.mr, v.gemm
	case left >= 4:
		return 4, v.gemm4
	default:
		return 1, v.gemm1
	}
}

package exact

// packedElems bounds the memory that holds the packed part of B: 4 Mi elements.
const packedElems = 1 << 22

// vecGemm packs B, or as many of its columns as fit, into panels of nr columns,
// each panel row by row, and then folds tiles of C, block by block of k:
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
		g.kPieces = pieces(g.k, foldBlock)
		e.packPanels(g)
		e.splitGemm(g)
		e.pool.run(e, pieces(g.m, g.rowsPer)*pieces(g.panels, g.colsPer), func(e *Engine, w, i int) {
			g := &e.args.gemm
			across := pieces(g.panels, g.colsPer)
			e.gemmPiece(g, i/across, i%across, w)
		})
	}
}

// packPanels packs all panels, alone if that is quicker than to wake the workers.
func (e *Engine) packPanels(g *gemmArgs) {
	const alone = 1 << 15
	n := g.panels * g.kPieces
	if len(g.packed) <= alone {
		for i := range n {
			e.vec.packPanel(g, i/g.kPieces, i%g.kPieces)
		}
		return
	}
	e.pool.run(e, n, func(e *Engine, _, i int) {
		g := &e.args.gemm
		e.vec.packPanel(g, i/g.kPieces, i%g.kPieces)
	})
}

// splitGemm chooses the pieces of C: groups of up to four panels, and as many
// groups of rows as keep all workers busy.
func (e *Engine) splitGemm(g *gemmArgs) {
	g.colsPer = min(4, g.panels)
	across := pieces(g.panels, g.colsPer)
	down := max(1, pieces(4*e.pool.threads, across))
	tiles := pieces(g.m, e.vec.mr)
	g.rowsPer = max(4, pieces(tiles, down)) * e.vec.mr
}

// packPanel packs one fold block of one panel.
func (v *vector) packPanel(g *gemmArgs, panel, block int) {
	lo, hi := span(block, foldBlock, g.k)
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

// gemmPiece folds one piece of C, tile by tile, fold block by fold block.
func (e *Engine) gemmPiece(g *gemmArgs, down, across, w int) {
	v := e.vec
	r0, r1 := span(down, g.rowsPer, g.m)
	p0, p1 := span(across, g.colsPer, g.panels)
	for lo := 0; lo < g.k; lo += foldBlock {
		k := min(foldBlock, g.k-lo)
		mode := tileAdd
		if lo == 0 && !g.accumulate {
			mode = tileStore
		}
		for i := r0; i < r1; {
			rows, tile := v.tileFor(r1 - i)
			a, ars, acs := e.leftRows(g, i, rows, lo, k, w)
			for p := p0; p < p1; p++ {
				b := &g.packed[(p*g.k+lo)*v.nr]
				j := (g.panel + p) * v.nr
				if j+v.nr <= g.n {
					tile(k, a, ars, acs, b, v.nr, &g.c[i*g.ldc+j], g.ldc, mode)
					continue
				}
				c := e.scratch[w].floats(slotTile, v.mr*v.nr)
				tile(k, a, ars, acs, b, v.nr, &c[0], v.nr, tileStore)
				for r := range rows {
					mergeRow(g.c[(i+r)*g.ldc+j:][:g.n-j], c[r*v.nr:], mode)
				}
			}
			i += rows
		}
	}
}

// leftRows returns rows [i,i+rows) of op(A) from step lo on, and their strides:
// in place, or copied where reading them in place would miss the cache.
func (e *Engine) leftRows(g *gemmArgs, i, rows, lo, k, w int) (a *float32, ars, acs int) {
	const pad = 16 // puts rows of a copy in different cache sets
	a = &g.a[i*g.ars+lo*g.acs]
	mr := e.vec.mr
	switch {
	case g.ars == 1 && rows == mr && g.acs != 1:
		dst := e.scratch[w].floats(slotTall, mr*foldBlock)
		e.vec.copySteps(&dst[0], a, g.acs, k)
		return &dst[0], 1, mr
	case g.acs == 1 && rows == mr && g.ars%512 == 0:
		dst := e.scratch[w].floats(slotTall, mr*(foldBlock+pad))
		for r := range rows {
			copy(dst[r*(foldBlock+pad):][:k], g.a[(i+r)*g.ars+lo:])
		}
		return &dst[0], foldBlock + pad, 1
	default:
		return a, g.ars, g.acs
	}
}

// tileFor returns the tallest tile that fits into the rows left.
func (v *vector) tileFor(left int) (rows int, tile tileFunc) {
	switch {
	case left >= v.mr:
		return v.mr, v.gemm
	case left >= 4:
		return 4, v.gemm4
	default:
		return 1, v.gemm1
	}
}

// mergeRow puts a row of block results into C as the tile kernels do.
func mergeRow(c, block []float32, mode int) {
	for j := range c {
		if mode == tileAdd {
			c[j] += block[j]
		} else {
			c[j] = block[j]
		}
	}
}

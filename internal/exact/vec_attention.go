package exact

// SIMD attention. A piece is one kv head of one sequence with the query heads
// that share it. Scores are computed attTile queries at a time. For the weighted
// sums queries are taken four at a time (attRows): the keys up to the first
// query's are folded as one tile, the last few row by row, so that no masked
// position is ever multiplied.

const (
	attRows  = 4  // divides attTile and attChunk
	attTile  = 12 // whole main tiles on all paths
	attChunk = 64 // queries per pass of the backward kernel; divides foldBlock
)

// Scratch slots of attention.
const (
	slotK     = iota // keys, panels of nr positions: [panel][d][nr]
	slotKRows        // keys, rows of width elements
	slotV            // values, as slotK (backward) or slotKRows (forward)
	slotS            // scores, then probabilities: rows of stride elements
	slotDP           // backward: dP, then dS
	slotOut          // attRows rows of width elements, and as many for a block
	slotQ            // backward: queries of one head, rows of width elements
	slotDO           // backward: do of one head
	slotDK           // backward: current block and total of dk
	slotDV           // backward: current block and total of dv
)

// attPiece is one piece: where it is and the layout of its scratch memory.
type attPiece struct {
	*attArgs
	e      *Engine
	w      int // worker
	b, kv  int
	width  int // head dimension rounded up to whole panels
	stride int // row stride of scores
}

func (e *Engine) attPiece(w, i int) attPiece {
	a, nr := &e.args.att, e.vec.nr
	return attPiece{
		attArgs: a, e: e, w: w, b: i / a.kvHeads, kv: i % a.kvHeads,
		width: pieces(a.dim, nr) * nr,
		// One line more than whole panels, so that rows of long sequences do not
		// share a cache set.
		stride: pieces(a.seq, nr)*nr + lanes,
	}
}

func (p *attPiece) floats(slot, n int) []float32 { return p.e.scratch[p.w].floats(slot, n) }

// packPositions packs a head's vectors, one per position from src on with the
// given stride, into panels of nr positions, so that scores are matrix products.
func (p *attPiece) packPositions(dst, src []float32, stride int) {
	nr := p.e.vec.nr
	for t := 0; t < p.seq; t += nr {
		p.e.vec.pack(dst[t*p.dim:][:p.dim*nr], src[t*stride:], 1, stride, p.dim, min(nr, p.seq-t))
	}
}

// packRows packs a head's vectors into rows of width elements.
func (p *attPiece) packRows(dst, src []float32, stride int) {
	nr := p.e.vec.nr
	for d := 0; d < p.dim; d += nr {
		cols := min(nr, p.dim-d)
		if cols == nr {
			p.e.vec.copyRows(&dst[d], p.width, &src[d], stride, p.seq)
			continue
		}
		for t := range p.seq {
			row := dst[t*p.width+d:][:nr]
			clear(row)
			copy(row, src[t*stride+d:][:cols])
		}
	}
}

// products sets rows of c to the folds over d of the vectors at a, rows of the
// given stride, with positions 0 to keys-1 packed in panels. Up to a panel more
// elements of c are written, with values that are not used.
func (p *attPiece) products(c, a []float32, stride, rows, keys int, panels []float32) {
	v := p.e.vec
	for t := 0; t < keys; t += v.nr {
		panel := panels[t*p.dim:]
		for d := 0; d < p.dim; d += foldBlock {
			mode := tileStore
			if d > 0 {
				mode = tileAdd
			}
			for r := 0; r < rows; {
				n, tile := v.tileFor(rows - r)
				tile(min(foldBlock, p.dim-d), &a[r*stride+d], stride, 1, &panel[d*v.nr], v.nr, &c[r*p.stride+t], p.stride, mode)
				r += n
			}
		}
	}
}

// weighted sets out, rows of width elements, to the folds of fma(x[r,j], y[j],
// acc) over the keys j <= t+r that query t+r sees; y has rows of width elements.
func (p *attPiece) weighted(out, x, y []float32, t, rows int) {
	v := p.e.vec
	block := out[attRows*p.width:]
	for lo := 0; lo < t+rows; lo += foldBlock {
		// Blocks start at multiples of attRows: either all rows see all of this
		// one, or query t is in it.
		hi := min(lo+foldBlock, t+1)
		ragged := rows
		if t+1 > lo+foldBlock {
			ragged = 0
		}
		c, mode := out, tileStore
		if lo > 0 {
			c = block
		}
		for d := 0; d < p.width; d += v.nr {
			v.tile(rows, hi-lo, x[lo:], p.stride, 1, y[lo*p.width+d:], p.width, c[d:], p.width, mode)
			for r := 1; r < ragged; r++ {
				v.gemm1(r, &x[r*p.stride+hi], p.stride, 1, &y[hi*p.width+d], p.width, &c[r*p.width+d], p.width, tileContinue)
			}
		}
		if lo > 0 {
			p.e.addRow(out[:rows*p.width], out, block)
		}
	}
}

func (e *Engine) vecAttention(a *attArgs) {
	e.pool.run(e, a.batch*a.kvHeads, func(e *Engine, w, i int) {
		p := e.attPiece(w, i)
		p.forward()
	})
}

func (p *attPiece) forward() {
	kvStride, nr := p.kvHeads*p.dim, p.e.vec.nr
	k := p.floats(slotK, pieces(p.seq, nr)*nr*p.dim)
	v := p.floats(slotV, p.seq*p.width)
	p.packPositions(k, p.k[p.kvAt(p.b, 0, p.kv):], kvStride)
	p.packRows(v, p.v[p.kvAt(p.b, 0, p.kv):], kvStride)
	s := p.floats(slotS, attTile*p.stride)
	out := p.floats(slotOut, 2*attRows*p.width)
	for g := range p.group {
		h := p.kv*p.group + g
		for t := 0; t < p.seq; t += attTile {
			rows := min(attTile, p.seq-t)
			p.products(s, p.q[p.qAt(p.b, t, h):], p.heads*p.dim, rows, t+rows, k)
			for r := 0; r < rows; r += attRows {
				p.outputs(s[r*p.stride:], v, out, h, t+r)
			}
		}
	}
}

// outputs computes o of up to attRows queries from t on from their scores.
func (p *attPiece) outputs(s, v, out []float32, h, t int) {
	rows := min(attRows, p.seq-t)
	for r := range rows {
		st := p.statAt(p.b, h, t+r)
		p.rowMax[st], p.rowSum[st] = p.e.softmaxRow(s[r*p.stride:][:t+r+1], p.scale, p.w)
	}
	p.weighted(out, s, v, t, rows)
	for r := range rows {
		l := p.rowSum[p.statAt(p.b, h, t+r)]
		p.e.divRow(p.o[p.qAt(p.b, t+r, h):][:p.dim], out[r*p.width:], l)
	}
}

// times sets y = x*scale over len(y) elements.
func (p *attPiece) times(y, x []float32) {
	n16, done := blocks16(len(y))
	if n16 > 0 {
		p.e.vec.scale(&y[0], &x[0], n16, p.scale)
	}
	for i := done; i < len(y); i++ {
		y[i] = x[i] * p.scale
	}
}

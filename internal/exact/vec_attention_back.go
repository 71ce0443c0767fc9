package exact

func (e *Engine) vecAttentionBackward(a *attArgs) {
	e.pool.run(e, a.batch*a.kvHeads, func(e *Engine, w, i int) {
		p := e.attPiece(w, i)
		p.backward()
	})
}

// keyGrad is dk or dv of one kv head while its blocks are folded: rows of width
// elements for each key.
type keyGrad struct{ acc, total []float32 }

func (p *attPiece) keyGrad(slot int) keyGrad {
	n := p.seq * p.width
	both := p.floats(slot, 2*n)
	return keyGrad{both[:n], both[n:]}
}

func (p *attPiece) backward() {
	kvStride, nr := p.kvHeads*p.dim, p.e.vec.nr
	panelSize := pieces(p.seq, nr) * nr * p.dim
	k, v := p.floats(slotK, panelSize), p.floats(slotV, panelSize)
	kRows := p.floats(slotKRows, p.seq*p.width)
	head := p.kvAt(p.b, 0, p.kv)
	p.packPositions(k, p.k[head:], kvStride)
	p.packPositions(v, p.v[head:], kvStride)
	p.packRows(kRows, p.k[head:], kvStride)
	s, ds := p.floats(slotS, attChunk*p.stride), p.floats(slotDP, attChunk*p.stride)
	q, do := p.floats(slotQ, p.seq*p.width), p.floats(slotDO, p.seq*p.width)
	dk, dv := p.keyGrad(slotDK), p.keyGrad(slotDV)
	for g := range p.group {
		h := p.kv*p.group + g
		p.packRows(q, p.q[p.qAt(p.b, 0, h):], p.heads*p.dim)
		p.packRows(do, p.do[p.qAt(p.b, 0, h):], p.heads*p.dim)
		for lo := 0; lo < p.seq; lo += attChunk {
			hi := min(lo+attChunk, p.seq)
			for t := lo; t < hi; t += attTile {
				rows, at := min(attTile, hi-t), (t-lo)*p.stride
				p.products(s[at:], p.q[p.qAt(p.b, t, h):], p.heads*p.dim, rows, t+rows, k)
				p.products(ds[at:], p.do[p.qAt(p.b, t, h):], p.heads*p.dim, rows, t+rows, v)
				for r := 0; r < rows; r += attRows {
					p.queryGrad(s[at+r*p.stride:], ds[at+r*p.stride:], kRows, h, t+r)
				}
			}
			p.foldKeys(dk, ds, q, lo, hi, g)
			p.foldKeys(dv, s, do, lo, hi, g)
		}
	}
	for t := range p.seq {
		p.times(p.dk[p.kvAt(p.b, t, p.kv):][:p.dim], dk.total[t*p.width:])
		copy(p.dv[p.kvAt(p.b, t, p.kv):][:p.dim], dv.total[t*p.width:])
	}
}

// queryGrad turns scores s into w and dP into dS for up to attRows queries from t
// on, and computes their dq.
func (p *attPiece) queryGrad(s, ds, kRows []float32, h, t int) {
	rows := min(attRows, p.seq-t)
	sc := &p.e.scratch[p.w]
	for r := range rows {
		at, st := p.qAt(p.b, t+r, h), p.statAt(p.b, h, t+r)
		sc.row = rowJob{x: p.do[at:], y: p.o[at:], w: p.w}
		dot := p.e.rowFold(&sc.row, p.dim, dotBlock)
		// The kernel runs over whole blocks of sixteen; what it leaves past the
		// last key of a row is not used.
		p.e.vec.softGrad(&s[r*p.stride], &ds[r*p.stride], pieces(t+r+1, lanes), p.scale, p.rowMax[st], p.rowSum[st], dot)
	}
	out := p.floats(slotOut, 2*attRows*p.width)
	p.weighted(out, ds, kRows, t, rows)
	for r := range rows {
		p.times(p.dq[p.qAt(p.b, t+r, h):][:p.dim], out[r*p.width:])
	}
}

// foldKeys goes on with the fold fma(x[i,j], y[i], acc) of all keys j over the
// queries i >= j in [lo,hi) of the g-th head of the group, and at the end of a
// block adds its result to the total.
func (p *attPiece) foldKeys(f keyGrad, x, y []float32, lo, hi, g int) {
	v, starts := p.e.vec, lo%foldBlock == 0
	for d := 0; d < p.width; d += v.nr {
		for j := 0; j < hi; j += attRows {
			rows := min(attRows, p.seq-j)
			from := max(lo, min(j+rows-1, hi)) // the first query that sees all these keys
			mode := tileContinue
			if j < lo && starts {
				mode = tileStore
			}
			for r := range rows {
				if j < lo {
					break
				}
				// Key j+r alone sees the queries from j+r to from-1.
				n := from - (j + r)
				v.gemm1(n, &x[(j+r-lo)*p.stride+j+r], 1, p.stride, &y[(j+r)*p.width+d], p.width, &f.acc[(j+r)*p.width+d], p.width, tileStore)
			}
			v.tile(rows, hi-from, x[(from-lo)*p.stride+j:], 1, p.stride, y[from*p.width+d:], p.width, f.acc[j*p.width+d:], p.width, mode)
		}
	}
	if hi%foldBlock != 0 && hi != p.seq {
		return
	}
	// Keys that this block's first queries did not see have no earlier term.
	first := hi
	if g == 0 {
		first = (hi - 1) / foldBlock * foldBlock
	}
	p.e.addRow(f.total[:first*p.width], f.total, f.acc)
	copy(f.total[first*p.width:hi*p.width], f.acc[first*p.width:])
}

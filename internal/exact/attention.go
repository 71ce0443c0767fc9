package exact

type attArgs struct {
	o, q, k, v     []float32
	rowMax, rowSum []float32
	dq, dk, dv, do []float32
	batch, seq     int
	heads, kvHeads int
	dim, group     int     // head dimension; query heads per kv head
	scale          float32 // 1/sqrt(dim)
}

// Attention computes causal grouped-query attention (Vaswani et al., 2017;
// Ainslie et al., 2023). q and o are (batch,seq,heads,headDim), k and v are
// (batch,seq,kvHeads,headDim); query head h uses kv head h/(heads/kvHeads).
// rowMax and rowSum (batch,heads,seq) receive m and l below, which the backward
// pass needs. For query i, over keys j <= i only:
//
//	s[j] = fold(fma(q[i,d], k[j,d], acc)) * scale,  scale = 1/sqrt(headDim)
//	m = max s, p[j] = exp(s[j]-m), l = rowfold(p)
//	o[d] = colfold(fma(p[j], v[j,d], acc)) / l
func (e *Engine) Attention(o, q, k, v, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int) {
	const kernel = "Attention"
	a := newAttArgs(kernel, q, k, v, rowMax, rowSum, batch, seq, heads, kvHeads, headDim)
	need(kernel, "o", len(o), batch*seq*heads*headDim)
	a.o = o
	e.args.att = a
	if e.vec != nil {
		e.vecAttention(&e.args.att)
		return
	}
	e.pool.run(e, batch*heads, func(e *Engine, w, i int) {
		a := &e.args.att
		p := e.scratch[w].floats(0, a.seq)
		for t := range a.seq {
			refAttentionRow(a, i/a.heads, i%a.heads, t, p[:t+1])
		}
	})
}

func newAttArgs(kernel string, q, k, v, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int) attArgs {
	require(batch >= 0 && seq >= 0 && headDim > 0, kernel, "bad dimension")
	require(kvHeads > 0 && heads > 0 && heads%kvHeads == 0, kernel, "heads is not a multiple of kvHeads")
	need(kernel, "q", len(q), batch*seq*heads*headDim)
	need(kernel, "k", len(k), batch*seq*kvHeads*headDim)
	need(kernel, "v", len(v), batch*seq*kvHeads*headDim)
	need(kernel, "rowMax", len(rowMax), batch*heads*seq)
	need(kernel, "rowSum", len(rowSum), batch*heads*seq)
	return attArgs{
		q: q, k: k, v: v, rowMax: rowMax, rowSum: rowSum,
		batch: batch, seq: seq, heads: heads, kvHeads: kvHeads, dim: headDim,
		group: heads / kvHeads, scale: 1 / sqrt32(float32(headDim)),
	}
}

// qAt and kvAt return where the vector of one head at one position starts.
func (a *attArgs) qAt(b, t, h int) int  { return ((b*a.seq+t)*a.heads + h) * a.dim }
func (a *attArgs) kvAt(b, t, h int) int { return ((b*a.seq+t)*a.kvHeads + h) * a.dim }

// statAt returns the place of a query in rowMax and rowSum.
func (a *attArgs) statAt(b, h, t int) int { return (b*a.heads+h)*a.seq + t }

// refDotFold is the column fold over d of fma(x[d], y[d], acc).
func refDotFold(x, y []float32) float32 {
	var f colFold
	for d := range x {
		acc := f.at(d)
		*acc = FMA32(x[d], y[d], *acc)
	}
	return f.sum()
}

// refScores sets s[j] for all keys that query t sees.
func refScores(a *attArgs, b, h, t int, s []float32) {
	q := a.q[a.qAt(b, t, h):][:a.dim]
	for j := range s {
		s[j] = refDotFold(q, a.k[a.kvAt(b, j, h/a.group):][:a.dim]) * a.scale
	}
}

func refAttentionRow(a *attArgs, b, h, t int, p []float32) {
	refScores(a, b, h, t, p)
	m := refMax(p)
	for j := range p {
		p[j] = Exp(p[j] - m)
	}
	l := refSum(p)
	a.rowMax[a.statAt(b, h, t)], a.rowSum[a.statAt(b, h, t)] = m, l
	o := a.o[a.qAt(b, t, h):][:a.dim]
	for d := range o {
		var f colFold
		for j, pj := range p {
			acc := f.at(j)
			*acc = FMA32(pj, a.v[a.kvAt(b, j, h/a.group)+d], *acc)
		}
		o[d] = f.sum() / l
	}
}

// AttentionBackward computes dq, dk and dv (overwritten; shapes of q, k and v)
// from do, the inputs and outputs of Attention, with the same p:
//
//	D = rowfold(fma(do[d], o[d], acc)),  w[j] = p[j]/l
//	dP[j] = fold(fma(do[d], v[j,d], acc)),  dS[j] = w[j]*(dP[j]-D)
//	dq[i,d] = colfold over j (fma(dS[i,j], k[j,d], acc)) * scale
//	dk[j,d] = colfold over h, i (fma(dS[h,i,j], q[h,i,d], acc)) * scale
//	dv[j,d] = colfold over h, i (fma(w[h,i,j], do[h,i,d], acc))
//
// The last two fold over the query heads h of the group ascending and, within
// one, over queries i >= j ascending; blocks are 128 queries of one head.
func (e *Engine) AttentionBackward(dq, dk, dv, do, q, k, v, o, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int) {
	const kernel = "AttentionBackward"
	a := newAttArgs(kernel, q, k, v, rowMax, rowSum, batch, seq, heads, kvHeads, headDim)
	need(kernel, "o", len(o), batch*seq*heads*headDim)
	need(kernel, "do", len(do), batch*seq*heads*headDim)
	need(kernel, "dq", len(dq), batch*seq*heads*headDim)
	need(kernel, "dk", len(dk), batch*seq*kvHeads*headDim)
	need(kernel, "dv", len(dv), batch*seq*kvHeads*headDim)
	a.o, a.do, a.dq, a.dk, a.dv = o, do, dq, dk, dv
	e.args.att = a
	if e.vec != nil {
		e.vecAttentionBackward(&e.args.att)
		return
	}
	e.pool.run(e, batch*kvHeads, func(e *Engine, _, i int) {
		a := &e.args.att
		refAttentionBackward(a, i/a.kvHeads, i%a.kvHeads)
	})
}

// refAttentionBackward does one kv head of one sequence.
func refAttentionBackward(a *attArgs, b, kv int) {
	dk, dv := make([]colFold, a.seq*a.dim), make([]colFold, a.seq*a.dim)
	w, ds := make([]float32, a.seq), make([]float32, a.seq)
	headTerms := pieces(a.seq, foldBlock) * foldBlock
	for g := range a.group {
		h := kv*a.group + g
		for t := range a.seq {
			refProbsBackward(a, b, h, t, w[:t+1], ds[:t+1])
			refQueryGrad(a, b, h, t, ds[:t+1])
			q, do := a.q[a.qAt(b, t, h):], a.do[a.qAt(b, t, h):]
			for j := range t + 1 {
				for d := range a.dim {
					acc := dk[j*a.dim+d].at(g*headTerms + t)
					*acc = FMA32(ds[j], q[d], *acc)
					acc = dv[j*a.dim+d].at(g*headTerms + t)
					*acc = FMA32(w[j], do[d], *acc)
				}
			}
		}
	}
	for t := range a.seq {
		for d := range a.dim {
			a.dk[a.kvAt(b, t, kv)+d] = dk[t*a.dim+d].sum() * a.scale
			a.dv[a.kvAt(b, t, kv)+d] = dv[t*a.dim+d].sum()
		}
	}
}

// refProbsBackward sets w and dS for query t and the keys it sees.
func refProbsBackward(a *attArgs, b, h, t int, w, ds []float32) {
	m, l := a.rowMax[a.statAt(b, h, t)], a.rowSum[a.statAt(b, h, t)]
	do := a.do[a.qAt(b, t, h):][:a.dim]
	dot := refDot(do, a.o[a.qAt(b, t, h):][:a.dim])
	refScores(a, b, h, t, w)
	for j := range w {
		w[j] = Exp(w[j]-m) / l
		ds[j] = w[j] * (refDotFold(do, a.v[a.kvAt(b, j, h/a.group):][:a.dim]) - dot)
	}
}

func refQueryGrad(a *attArgs, b, h, t int, ds []float32) {
	dq := a.dq[a.qAt(b, t, h):][:a.dim]
	for d := range dq {
		var f colFold
		for j, x := range ds {
			acc := f.at(j)
			*acc = FMA32(x, a.k[a.kvAt(b, j, h/a.group)+d], *acc)
		}
		dq[d] = f.sum() * a.scale
	}
}

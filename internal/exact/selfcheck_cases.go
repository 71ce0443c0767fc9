package exact

// checks are the workload of SelfCheck: every kernel that training uses, over several blocks of its folds and ragged edges,
// and one product that keeps a device busy.
var checks = []check{
	{"gemm", func(o *checkOperands) {
		const m, n, k = 37, 45, 300
		a, b, d := o.in(m*k), o.in(k*n), o.in(m*n)
		x, y, z := o.result(m*n), o.result(m*n), o.result(m*n)
		o.run = func() {
			o.Gemm(false, false, m, n, k, a, k, b, n, x, n, false)
			o.Gemm(false, true, m, n, k, a, k, b, k, y, n, false)
			o.Copy(z, d)
			o.Gemm(true, false, m, n, k, a, m, b, n, z, n, true)
		}
	}},
	{"load", func(o *checkOperands) {
		const m, n, k = 256, 256, 512
		a, b, x := o.in(m*k), o.in(k*n), o.result(m*n)
		o.run = func() { o.Gemm(false, false, m, n, k, a, k, b, n, x, n, false) }
	}},
	{"elementwise", func(o *checkOperands) {
		const n = 1029
		a, b := o.in(n), o.in(n)
		add, sub, scale, fma := o.result(n), o.result(n), o.result(n), o.result(n)
		relu, reluBack, gelu, geluBack := o.result(n), o.result(n), o.result(n), o.result(n)
		y, gate, up := o.result(n), o.result(n), o.result(n)
		o.run = func() {
			o.Add(add, a, b)
			o.Sub(sub, a, b)
			o.Scale(scale, a, 1.0/3)
			o.Copy(fma, b)
			o.FMA(fma, 1.0/3, a)
			o.ReLU(relu, a)
			o.ReLUBackward(reluBack, b, a)
			o.GELU(gelu, a)
			o.GELUBackward(geluBack, b, a)
			o.SwiGLU(y, a, b)
			o.SwiGLUBackward(gate, up, y, a, b)
		}
	}},
	{"adamw", func(o *checkOperands) {
		const n = 1029
		p0, g, m0 := o.in(n), o.in(n), o.in(n)
		p, m, v := o.result(n), o.result(n), o.result(n)
		o.run = func() {
			o.Copy(p, p0)
			o.Copy(m, m0)
			o.Scale(v, m0, 0)
			for step := range 3 {
				o.AdamWStep(p, g, m, v, AdamWParams{LR: 0x1p-8, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Step: step + 1})
			}
		}
	}},
	{"norm", func(o *checkOperands) {
		const rows, dim = 150, 75
		x, gain, dy, plus := o.in(rows*dim), o.in(dim), o.in(rows*dim), o.in(rows*dim)
		y, rstd, dx, dgain := o.result(rows*dim), o.result(rows), o.result(rows*dim), o.result(dim)
		bias, biased := o.result(dim), o.result(rows*dim)
		o.run = func() {
			o.RMSNorm(y, x, gain, rstd, rows, dim, 1e-5)
			o.RMSNormBackwardAdd(dx, dgain, plus, dy, x, gain, rstd, rows, dim, false)
			o.BiasBackward(bias, dy, rows, dim, false)
			o.AddBias(biased, x, gain, rows, dim)
		}
	}},
	{"attention", func(o *checkOperands) {
		const batch, seq, heads, kv, hd = 1, 150, 4, 2, 16
		const n, nkv = batch * seq * heads * hd, batch * seq * kv * hd
		q, k, v, do, angle := o.in(n), o.in(nkv), o.in(nkv), o.in(n), o.in(seq*hd/2)
		turned, y, peak, sum := o.result(n), o.result(n), o.result(batch*seq*heads), o.result(batch*seq*heads)
		dq, dk, dv := o.result(n), o.result(nkv), o.result(nkv)
		o.run = func() {
			o.Rope(turned, q, angle, angle, batch, seq, heads, hd, false)
			o.Attention(y, turned, k, v, peak, sum, batch, seq, heads, kv, hd)
			o.AttentionBackward(dq, dk, dv, do, turned, k, v, y, peak, sum, batch, seq, heads, kv, hd)
		}
	}},
	{"loss", func(o *checkOperands) {
		const rows, vocab, dim = 150, 301, 8
		logits, table, dy, values := o.in(rows*vocab), o.in(vocab*dim), o.in(rows*dim), o.in(rows*vocab)
		ids := o.ids(rows, vocab)
		losses, dlogits, dtable, y := o.result(rows), o.result(rows*vocab), o.result(vocab*dim), o.result(rows*dim)
		errs, dpred, total := o.result(rows), o.result(rows*vocab), o.result(2)
		o.run = func() {
			o.Gather(y, table, ids, dim)
			o.ScatterAddRows(dtable, dy, ids, vocab, dim, 0, vocab, false)
			o.CrossEntropyPart(logits, ids, rows, vocab, rows, losses, dlogits)
			o.SquaredError(logits, values, rows, vocab, errs, dpred, rows)
			o.Mean(total, losses)
			o.SumSquaresTo(total[1:], logits)
		}
	}},
	{"images", func(o *checkOperands) {
		s := ConvShape{Batch: 2, Height: 9, Width: 7, Channels: 3, KernelH: 3, KernelW: 3, Stride: 2, Pad: 1}
		pool := ConvShape{Batch: 2, Height: 9, Width: 7, Channels: 3, KernelH: 2, KernelW: 2, Stride: 2}
		n, out := s.Batch*s.Height*s.Width*s.Channels, pool.Batch*pool.OutH()*pool.OutW()*pool.Channels
		x, dy, index := o.in(n), o.in(out), o.Ints(out)
		col, dx := o.result(s.Rows()*s.Cols()), o.result(n)
		peak, dpeak := o.result(out), o.result(n)
		o.run = func() {
			o.Im2Col(col, x, s)
			o.Col2Im(dx, col, s)
			o.MaxPool(peak, index, x, pool)
			o.MaxPoolBackward(dpeak, dy, index, pool)
		}
	}},
}

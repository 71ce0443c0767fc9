package main

func genElementwise(f *file) {
	for _, o := range []struct{ name, doc, op string }{
		{"Add", "sets y = a+b.", "fadd"},
		{"Sub", "sets y = a-b.", "fsub"},
	} {
		k := f.kernel(o.name, "func(y, a, b *float32, n int)", o.doc)
		y, a, b, n := k.load("y"), k.load("a"), k.load("b"), k.load("n")
		k.blocks(n, []greg{y, a, b}, func(_, off int) {
			v, w := k.vec(), k.vec()
			k.ld(v, a, off)
			k.ld(w, b, off)
			k.do(o.op, v, v, w)
			k.st(v, y, off)
		})
		k.done()
	}

	k := f.kernel("Scale", "func(y, x *float32, n int, k float32)", "sets y = x*k.")
	y, x, n, by := k.load("y"), k.load("x"), k.load("n"), k.broadcast("k")
	k.blocks(n, []greg{y, x}, func(_, off int) {
		v := k.vec()
		k.ld(v, x, off)
		k.do("fmul", v, v, by)
		k.st(v, y, off)
	})
	k.done()

	k = f.kernel("FMA", "func(y, x *float32, n int, k float32)", "sets y = fma(k, x, y).")
	y, x, n, by = k.load("y"), k.load("x"), k.load("n"), k.broadcast("k")
	k.blocks(n, []greg{y, x}, func(_, off int) {
		v, w := k.vec(), k.vec()
		k.ld(v, y, off)
		k.ld(w, x, off)
		k.do("fmla", v, by, w)
		k.st(v, y, off)
	})
	k.done()

	k = f.kernel("DivDiv", "func(y, x *float32, n int, k, l float32)", "sets y = (x/k)/l.")
	y, x, n = k.load("y"), k.load("x"), k.load("n")
	by, then := k.broadcast("k"), k.broadcast("l")
	k.blocks(n, []greg{y, x}, func(_, off int) {
		v := k.vec()
		k.ld(v, x, off)
		k.do("fdiv", v, v, by)
		k.do("fdiv", v, v, then)
		k.st(v, y, off)
	})
	k.done()
}

func genNorm(f *file) {
	k := f.kernel("SumLanes", "func(x *float32, n int, lanes *[16]float32)", "adds x to the lanes.")
	x, n, l := k.load("x"), k.load("n"), k.load("lanes")
	acc := k.lanes(l)
	k.blocks(n, []greg{x}, func(u, off int) {
		v := k.vec()
		k.ld(v, x, off)
		k.do("fadd", acc[u], acc[u], v)
	})
	k.storeLanes(acc, l)
	k.done()

	k = f.kernel("DotLanes", "func(x, y *float32, n int, lanes *[16]float32)", "folds lane = fma(x, y, lane).")
	x, y := k.load("x"), k.load("y")
	n, l = k.load("n"), k.load("lanes")
	acc = k.lanes(l)
	k.blocks(n, []greg{x, y}, func(u, off int) {
		v, w := k.vec(), k.vec()
		k.ld(v, x, off)
		k.ld(w, y, off)
		k.do("fmla", acc[u], v, w)
	})
	k.storeLanes(acc, l)
	k.done()

	k = f.kernel("MulMul", "func(y, x, gain *float32, n int, r float32)", "sets y = (x*r)*gain.")
	y, x = k.load("y"), k.load("x")
	gain, n, r := k.load("gain"), k.load("n"), k.broadcast("r")
	k.blocks(n, []greg{y, x, gain}, func(_, off int) {
		v, w := k.vec(), k.vec()
		k.ld(v, x, off)
		k.ld(w, gain, off)
		k.do("fmul", v, v, r)
		k.do("fmul", v, v, w)
		k.st(v, y, off)
	})
	k.done()
	genNormBackward(f)
}

func genNormBackward(f *file) {
	k := f.kernel("NormDot", "func(dy, gain, x *float32, n int, r float32, lanes *[16]float32)",
		"folds lane = fma(dy*gain, x*r, lane).")
	dy, gain, x, n, l := k.load("dy"), k.load("gain"), k.load("x"), k.load("n"), k.load("lanes")
	r, acc := k.broadcast("r"), k.lanes(l)
	k.blocks(n, []greg{dy, gain, x}, func(u, off int) {
		d, g, h := k.vec(), k.vec(), k.vec()
		k.ld(d, dy, off)
		k.ld(g, gain, off)
		k.ld(h, x, off)
		k.do("fmul", d, d, g)
		k.do("fmul", h, h, r)
		k.do("fmla", acc[u], d, h)
	})
	k.storeLanes(acc, l)
	k.done()

	k = f.kernel("NormGrad", "func(dx, dgain, dy, gain, x *float32, n int, r, c float32)",
		"sets dgain = fma(dy, h, dgain) and dx = fma(-h, c, dy*gain)*r, h = x*r.")
	dx, dgain := k.load("dx"), k.load("dgain")
	dy, gain, x, n = k.load("dy"), k.load("gain"), k.load("x"), k.load("n")
	r, c := k.broadcast("r"), k.broadcast("c")
	k.blocks(n, []greg{dx, dgain, dy, gain, x}, func(_, off int) {
		d, h, dg, g := k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(h, x, off)
		k.ld(d, dy, off)
		k.ld(dg, dgain, off)
		k.ld(g, gain, off)
		k.do("fmul", h, h, r)
		k.do("fmla", dg, d, h)
		k.st(dg, dgain, off)
		k.do("fmul", d, d, g)
		k.do("fmls", d, h, c)
		k.do("fmul", d, d, r)
		k.st(d, dx, off)
	})
	k.done()
}

func genRope(f *file) {
	k := f.kernel("Rope", "func(y, x, cos, sin *float32, n, heads int, sign *[16]uint32)",
		"rotates heads of 2*16*n elements; sign is xored into sin.")
	y, x, n, heads, sign := k.load("y"), k.load("x"), k.load("n"), k.load("heads"), k.load("sign")
	flip := k.vec()
	k.ld(flip, sign, 0) // all sixteen are equal
	half, cos, sin, count, x2p, y2p := k.gpr(), k.gpr(), k.gpr(), k.gpr(), k.gpr(), k.gpr()
	k.line("LSL $6, %s, %s", n, half)
	k.label("head")
	k.loadTo(cos, "cos")
	k.loadTo(sin, "sin")
	k.line("MOVD %s, %s", n, count)
	k.line("ADD %s, %s, %s", half, x, x2p)
	k.line("ADD %s, %s, %s", half, y, y2p)
	k.blocks(count, []greg{y, x, y2p, x2p, cos, sin}, func(_, off int) {
		x1, x2, c, s, y1, y2 := k.vec(), k.vec(), k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(x1, x, off)
		k.ld(x2, x2p, off)
		k.ld(c, cos, off)
		k.ld(s, sin, off)
		k.do("eor", s, s, flip)
		k.do("fmul", y1, x2, s)
		k.do2("fneg", y1, y1)
		k.do("fmla", y1, x1, c)
		k.do("fmul", y2, x1, s)
		k.do("fmla", y2, x2, c)
		k.st(y1, y, off)
		k.st(y2, y2p, off)
	})
	k.addTo(x, half)
	k.addTo(y, half)
	k.next(heads, "head")
	k.done()
}

func genAdamW(f *file) {
	k := f.kernel("AdamW", "func(p, grad, m, v *float32, n int, c *[9]float32)",
		"does one AdamW step; c holds beta1, 1-beta1, beta2, 1-beta2, corr1, corr2, eps, decay, lr.")
	p, g, m, v, n, at := k.load("p"), k.load("grad"), k.load("m"), k.load("v"), k.load("n"), k.load("c")
	c := make([]vreg, 9)
	for i := range c {
		c[i] = k.field(at, i)
	}
	k.blocks(n, []greg{p, g, m, v}, func(_, off int) {
		grad, first, second, old := k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(grad, g, off)
		k.do("fmul", first, grad, c[1])
		k.do("fmul", second, grad, grad)
		k.do("fmul", second, second, c[3])
		k.ld(old, m, off)
		k.do("fmla", first, old, c[0])
		k.ld(old, v, off)
		k.do("fmla", second, old, c[2])
		k.flush(first)
		k.flush(second)
		k.st(first, m, off)
		k.st(second, v, off)
		k.do("fdiv", first, first, c[4])
		k.do("fdiv", second, second, c[5])
		k.do2("fsqrt", second, second)
		k.do("fadd", second, second, c[6])
		k.do("fdiv", first, first, second)
		par := k.vec()
		k.ld(old, p, off)
		k.move(par, old)
		k.do("fmla", par, old, c[7])
		k.do("fmla", par, first, c[8])
		k.st(par, p, off)
	})
	k.done()
}

// flush replaces magnitudes below 2^-126 by +0.
func (k *kernel) flush(v vreg) {
	k.scope(func() {
		a := k.vec()
		k.do2("fabs", a, v)
		k.do("cmge", a, a, k.bits(0x00800000))
		k.do("and", v, v, a)
	})
}

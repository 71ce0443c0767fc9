package main

func genLayerNorm(f *file) {
	k := f.kernel("CenterDot", "func(x *float32, n int, mean float32, lanes *[16]float32)",
		"folds lane = fma(d, d, lane), d = x-mean.")
	x, n, l := k.load("x"), k.load("n"), k.load("lanes")
	mean, acc := k.broadcast("mean"), k.lanes(l)
	k.blocks(n, []greg{x}, func(u, off int) {
		d := k.vec()
		k.ld(d, x, off)
		k.do("fsub", d, d, mean)
		k.do("fmla", acc[u], d, d)
	})
	k.storeLanes(acc, l)
	k.done()

	k = f.kernel("CenterNorm", "func(y, x, gain, bias *float32, n int, mean, r float32)",
		"sets y = fma((x-mean)*r, gain, bias).")
	y, x, gain, bias, n := k.load("y"), k.load("x"), k.load("gain"), k.load("bias"), k.load("n")
	mean, r := k.broadcast("mean"), k.broadcast("r")
	k.blocks(n, []greg{y, x, gain, bias}, func(_, off int) {
		h, g, b := k.vec(), k.vec(), k.vec()
		k.centered(h, x, off, mean, r)
		k.ld(g, gain, off)
		k.ld(b, bias, off)
		k.do("fmla", b, h, g)
		k.st(b, y, off)
	})
	k.done()
	genLayerNormBackward(f)
}

func genLayerNormBackward(f *file) {
	k := f.kernel("LayerDots", "func(dy, gain, x *float32, n int, mean, r float32, sums, dots *[16]float32)",
		"folds sum = sum + d and dot = fma(d, (x-mean)*r, dot), d = dy*gain.")
	dy, gain, x, n, sp, dp := k.load("dy"), k.load("gain"), k.load("x"), k.load("n"), k.load("sums"), k.load("dots")
	mean, r := k.broadcast("mean"), k.broadcast("r")
	sums, dots := k.lanes(sp), k.lanes(dp)
	k.blocks(n, []greg{dy, gain, x}, func(u, off int) {
		d, g, h := k.vec(), k.vec(), k.vec()
		k.ld(d, dy, off)
		k.ld(g, gain, off)
		k.centered(h, x, off, mean, r)
		k.do("fmul", d, d, g)
		k.do("fadd", sums[u], sums[u], d)
		k.do("fmla", dots[u], d, h)
	})
	k.storeLanes(sums, sp)
	k.storeLanes(dots, dp)
	k.done()

	k = f.kernel("LayerGrad", "func(dx, dgain, dbias, dy, gain, x *float32, n int, mean, r, b, c float32)",
		"sets dgain = fma(dy, h, dgain), dbias += dy and dx = fma(-h, c, dy*gain-b)*r, h = (x-mean)*r.")
	dx, dgain, dbias := k.load("dx"), k.load("dgain"), k.load("dbias")
	dy, gain, x, n = k.load("dy"), k.load("gain"), k.load("x"), k.load("n")
	mean, r = k.broadcast("mean"), k.broadcast("r")
	b, c := k.broadcast("b"), k.broadcast("c")
	k.blocks(n, []greg{dx, dgain, dbias, dy, gain, x}, func(_, off int) {
		d, h, g, sum := k.vec(), k.vec(), k.vec(), k.vec()
		k.centered(h, x, off, mean, r)
		k.ld(d, dy, off)
		k.ld(g, dgain, off)
		k.ld(sum, dbias, off)
		k.do("fmla", g, d, h)
		k.do("fadd", sum, sum, d)
		k.st(g, dgain, off)
		k.st(sum, dbias, off)
		k.ld(g, gain, off)
		k.do("fmul", d, d, g)
		k.do("fsub", d, d, b)
		k.do("fmls", d, h, c)
		k.do("fmul", d, d, r)
		k.st(d, dx, off)
	})
	k.done()
}

// centered sets h to (x-mean)*r.
func (k *kernel) centered(h vreg, x greg, off int, mean, r vreg) {
	k.ld(h, x, off)
	k.do("fsub", h, h, mean)
	k.do("fmul", h, h, r)
}

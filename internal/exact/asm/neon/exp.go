package main

import "math"

// exp sets p to the exponential of x, operation by operation as exact.Exp. x and
// p must differ.
func (k *kernel) exp(p, x vreg) {
	k.scope(func() {
		t, n, r := k.vec(), k.vec(), k.vec()
		k.move(t, k.constant(0x1.8p23))
		k.do("fmla", t, x, k.constant(0x1.715476p+0))
		k.do("fsub", n, t, k.constant(0x1.8p23))
		k.move(r, x)
		k.do("fmls", r, n, k.constant(0x1.62e43p-1))
		k.do("fmls", r, n, k.constant(-0x1.05c61p-29))
		k.shl23(t, t)
		// Horner's rule, each sum in the register that the last product left free.
		from, to := k.constant(0x1.6a4d46p-10), p
		for _, c := range []float32{0x1.123986p-7, 0x1.5558bp-5, 0x1.555492p-3, 0x1.fffffcp-2, 1, 1} {
			k.move(to, k.constant(c))
			k.do("fmla", to, from, r)
			if from = to; to == p {
				to = n
			} else {
				to = p
			}
		}
		k.do("add", p, from, t)
		mask := t
		k.do("cmge", mask, p, k.bits(0x00800000))
		k.do("and", p, p, mask)
		k.do("fcmgt", mask, k.constant(-0x1.5ep+6), x)
		k.do("bic", p, p, mask)
		k.do("fcmgt", mask, x, k.constant(0x1.62e42ep+6))
		k.do("bit", p, k.constant(float32(math.Inf(1))), mask)
		k.do("fcmeq", mask, x, x)
		k.do("bif", p, x, mask)
	})
}

// expNegAbs sets p to exp(-|x|), x and p differing.
func (k *kernel) expNegAbs(p, x vreg) {
	k.scope(func() {
		t := k.vec()
		k.do2("fabs", t, x)
		k.do2("fneg", t, t)
		k.exp(p, t)
	})
}

// logistic is exact.logistic, negative where x < 0; all arguments differ.
func (k *kernel) logistic(y, d, inv, z, x vreg) {
	k.scope(func() {
		den, num := k.vec(), k.vec()
		one, t, lost := k.constant(1), d, num // free where they are used
		k.do("fadd", den, z, one)
		k.do("fdiv", inv, one, den)
		k.zero(t)
		k.do("fcmgt", t, t, x)
		k.move(num, one)
		k.do("bit", num, z, t)
		k.do("fmul", y, num, inv)
		k.move(t, num)
		k.do("fmls", t, y, den)
		k.do("fsub", lost, den, one)
		k.do("fsub", lost, z, lost)
		k.do("fmls", t, y, lost)
		k.do("fmul", d, t, inv)
	})
}

// sigmoidSilu is exact.sigmoidSilu.
func (k *kernel) sigmoidSilu(sigmoid, silu, x vreg) {
	k.scope(func() {
		z, y, d, inv := k.vec(), k.vec(), k.vec(), k.vec()
		k.expNegAbs(z, x)
		k.logistic(y, d, inv, z, x)
		k.do("fadd", sigmoid, y, d)
		k.do("fmul", silu, x, d)
		k.do("fmla", silu, x, y)
	})
}

func genSoftmax(f *file) {
	k := f.kernel("ScaleMax", "func(x *float32, n int, scale float32, max *float32)",
		"scales x by scale and stores the largest element that is not NaN, -Inf if there is none.")
	x, n, at := k.load("x"), k.load("n"), k.load("max")
	scale, acc := k.broadcast("scale"), k.vecN(4)
	for _, v := range acc {
		k.move(v, k.constant(float32(math.Inf(-1))))
	}
	k.blocks(n, []greg{x}, func(u, off int) {
		v := k.vec()
		k.ld(v, x, off)
		k.do("fmul", v, v, scale) // and so every NaN is quiet
		k.st(v, x, off)
		k.do("fmaxnm", acc[u], acc[u], v)
	})
	k.do("fmaxnm", acc[0], acc[0], acc[1])
	k.do("fmaxnm", acc[2], acc[2], acc[3])
	k.do("fmaxnm", acc[0], acc[0], acc[2])
	k.word(encodeMax(acc[0], acc[0]), "fmaxnmv s%d, v%d.4s", acc[0], acc[0])
	k.line("FMOVS %s, (%s)", acc[0].f(), at)
	k.done()

	k = f.kernel("ExpSum", "func(x *float32, n int, m float32, lanes *[16]float32)",
		"replaces x by exp(x-m) and adds the results to the lanes.")
	x, n, at = k.load("x"), k.load("n"), k.load("lanes")
	m := k.broadcast("m")
	acc = k.lanes(at)
	k.blocks(n, []greg{x}, func(u, off int) {
		v, p := k.vec(), k.vec()
		k.ld(v, x, off)
		k.do("fsub", v, v, m)
		k.exp(p, v)
		k.st(p, x, off)
		k.do("fadd", acc[u], acc[u], p)
	})
	k.storeLanes(acc, at)
	k.done()

	k = f.kernel("SoftmaxGrad", "func(s, dp *float32, n int, scale, m, l, dot float32)",
		"replaces s by w = exp(s*scale-m)/l and dp by w*(dp-dot).")
	x, dp, n := k.load("s"), k.load("dp"), k.load("n")
	scale, m = k.broadcast("scale"), k.broadcast("m")
	sum, dot := k.broadcast("l"), k.broadcast("dot")
	k.blocks(n, []greg{x, dp}, func(_, off int) {
		v, w := k.vec(), k.vec()
		k.ld(v, x, off)
		k.do("fmul", v, v, scale)
		k.do("fsub", v, v, m)
		k.exp(w, v)
		k.do("fdiv", w, w, sum)
		k.st(w, x, off)
		k.ld(v, dp, off)
		k.do("fsub", v, v, dot)
		k.do("fmul", v, v, w)
		k.st(v, dp, off)
	})
	k.done()
}

func genSwiGLU(f *file) {
	k := f.kernel("SwiGLU", "func(y, gate, up *float32, n int)", "sets y = silu(gate)*up.")
	y, gate, up, n := k.load("y"), k.load("gate"), k.load("up"), k.load("n")
	k.blocks(n, []greg{y, gate, up}, func(_, off int) {
		g, u, s, a := k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(g, gate, off)
		k.ld(u, up, off)
		k.sigmoidSilu(s, a, g)
		k.do("fmul", a, a, u)
		k.st(a, y, off)
	})
	k.done()

	k = f.kernel("SwiGLUGrad", "func(dgate, dup, dy, gate, up *float32, n int)",
		"sets dup = dy*a and dgate = (dy*up)*fma(a, 1-s, s), s = sigmoid(gate), a = silu(gate).")
	dgate, dup, dy := k.load("dgate"), k.load("dup"), k.load("dy")
	gate, up, n = k.load("gate"), k.load("up"), k.load("n")
	k.blocks(n, []greg{dgate, dup, dy, gate, up}, func(_, off int) {
		g, s, a, d, u := k.vec(), k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(g, gate, off)
		k.sigmoidSilu(s, a, g)
		k.ld(d, dy, off)
		k.ld(u, up, off)
		k.do("fmul", u, d, u)
		k.do("fmul", d, d, a)
		k.do("fsub", g, k.constant(1), s)
		k.do("fmla", s, a, g)
		k.do("fmul", u, u, s)
		k.st(d, dup, off)
		k.st(u, dgate, off)
	})
	k.done()
}

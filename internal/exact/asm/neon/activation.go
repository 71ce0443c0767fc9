package main

func genReLU(f *file) {
	k := f.kernel("ReLU", "func(y, x *float32, n int)", "sets y = +0 where x < 0 and x elsewhere.")
	y, x, n, zero := k.load("y"), k.load("x"), k.load("n"), k.constant(0)
	k.blocks(n, []greg{y, x}, func(_, off int) {
		v, mask := k.vec(), k.vec()
		k.ld(v, x, off)
		k.do("fcmgt", mask, zero, v)
		k.do("bic", v, v, mask)
		k.st(v, y, off)
	})
	k.done()

	k = f.kernel("ReLUGrad", "func(dx, dy, x *float32, n int)", "sets dx = dy where x > 0, +0 where x <= 0, x where it is NaN.")
	dx, dy, x, n := k.load("dx"), k.load("dy"), k.load("x"), k.load("n")
	zero = k.constant(0)
	k.blocks(n, []greg{dx, dy, x}, func(_, off int) {
		v, d, mask := k.vec(), k.vec(), k.vec()
		k.ld(v, x, off)
		k.ld(d, dy, off)
		k.do("fcmge", mask, zero, v)
		k.do("bic", d, d, mask)
		k.do("fcmeq", mask, v, v)
		k.do("bif", d, v, mask)
		k.st(d, dx, off)
	})
	k.done()
}

// geluAt is exact.geluAt, operation by operation: x and the logistic function
// y+d and rest of the argument arg, which may be in rest.
func (k *kernel) geluAt(x, y, d, rest, arg vreg) {
	k.do("fmaxnm", x, arg, k.constant(-11))
	k.do("fminnm", x, x, k.constant(11))
	k.scope(func() {
		v, lo := k.vec(), k.vec()
		sq, p, e := y, d, rest // free as yet
		k.do("fmul", sq, x, x)
		k.move(p, k.constant(0x1.98845p+0))
		k.do("fmla", p, k.constant(0x1.2444f2p-4), sq)
		k.do("fsub", e, k.constant(0x1.98845p+0), p)
		k.do("fmla", e, k.constant(0x1.2444f2p-4), sq)
		k.do("fadd", e, e, k.constant(0x1.9ea1b2p-23))
		k.do("fmla", e, k.constant(0x1.49b16ap-29), sq)
		k.do2("fneg", sq, sq)
		k.do("fmla", sq, x, x)
		k.do("fmla", e, k.constant(0x1.2444f2p-4), sq)
		k.do("fmul", v, x, p)
		k.do2("fneg", lo, v)
		k.do("fmla", lo, x, p)
		k.do("fmla", lo, x, e)

		z, inv := rest, v
		k.expNegAbs(z, v)
		k.logistic(y, d, inv, z, x)
		k.do("fmul", rest, z, inv)
		k.do("fmul", lo, y, lo)
		mask := k.vec()
		k.zero(mask)
		k.do("fcmgt", mask, mask, x)
		k.do("bit", rest, inv, mask)
		k.do("fmla", d, lo, rest)
	})
}

func genGELU(f *file) {
	k := f.kernel("GELU", "func(y, x *float32, n int)", "sets y = gelu(x).")
	out, in, n := k.load("y"), k.load("x"), k.load("n")
	k.blocks(n, []greg{out, in}, func(_, off int) {
		x, y, d, rest := k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(rest, in, off)
		k.geluAt(x, y, d, rest, rest)
		k.do("fmul", d, x, d)
		k.do("fmla", d, x, y)
		arg, mask := rest, y
		k.ld(arg, in, off)
		k.do("fcmge", mask, k.constant(11), arg)
		k.do("bif", d, arg, mask)
		k.st(d, out, off)
	})
	k.done()

	k = f.kernel("GELUGrad", "func(dx, dy, x *float32, n int)", "sets dx = dy*gelu'(x).")
	dx, dy, in, n := k.load("dx"), k.load("dy"), k.load("x"), k.load("n")
	k.blocks(n, []greg{dx, dy, in}, func(_, off int) {
		x, y, d, rest := k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(rest, in, off)
		k.geluAt(x, y, d, rest, rest)
		k.do("fadd", y, y, d)
		sq, slope := d, k.vec()
		k.do("fmul", sq, x, x)
		k.move(slope, k.constant(0x1.988454p+0))
		k.do("fmla", slope, k.constant(0x1.b6676cp-3), sq)
		k.do("fmul", slope, x, slope)
		t := x
		k.move(t, k.constant(1))
		k.do("fmla", t, slope, rest)
		k.do("fmul", y, y, t)
		arg, mask := rest, d
		k.ld(arg, in, off)
		k.do("fcmeq", mask, arg, arg)
		k.do("bif", y, arg, mask)
		k.ld(arg, dy, off)
		k.do("fmul", y, y, arg)
		k.st(y, dx, off)
	})
	k.done()
}

func genTakeMax(f *file) {
	k := f.kernel("TakeMax", "func(y *float32, index *int32, x *float32, n int, at int32)",
		"replaces y by x and index by at where y is a number that x does not stay below or equal.")
	y, index, x, n, where := k.load("y"), k.load("index"), k.load("x"), k.load("n"), k.broadcast("at")
	k.blocks(n, []greg{y, index, x}, func(_, off int) {
		best, v, i, take, below := k.vec(), k.vec(), k.vec(), k.vec(), k.vec()
		k.ld(best, y, off)
		k.ld(v, x, off)
		k.ld(i, index, off)
		k.do("fcmeq", take, best, best)
		k.do("fcmge", below, best, v)
		k.do("bic", take, take, below)
		k.do("bit", best, v, take)
		k.do("bit", i, where, take)
		k.st(best, y, off)
		k.st(i, index, off)
	})
	k.done()
}

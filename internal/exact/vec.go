package exact

//go:generate go run ./asm -out kernels_amd64.s -stubs kernels_amd64.go -pkg exact
//go:generate go run ./asm/neon -out kernels_arm64.s -stubs kernels_arm64.go -pkg exact

// tileFunc folds one tile of a matrix product over one fold block: rows by nr
// elements, acc = fma(a[i*ars+p*acs], b[p*brs+j], acc) for p in [0,k).
type tileFunc func(k int, a *float32, ars, acs int, b *float32, brs int, c *float32, crs, mode int)

// Modes of a tileFunc.
const (
	tileStore    = iota // acc from +0, c = acc
	tileAdd             // acc from +0, c = c + acc
	tileContinue        // acc from c, c = acc
)

// vector holds the kernels of one SIMD path. Kernels that walk along rows take n
// in blocks of sixteen elements; what remains of a row is done by the reference.
type vector struct {
	mr, nr             int // rows and columns of gemm's tile; gemm4 and gemm1 have 4 and 1 rows
	stage              int // steps of a panel at a time, whole fold blocks, which should stay near the processor
	tall               int // most tiles of rows whose part of A the second cache holds for a stage
	gemm, gemm4, gemm1 tileFunc

	copyRows   func(dst *float32, drs int, src *float32, srs, rows int) // rows of nr elements
	copySteps  func(dst, src *float32, srs, steps int)                  // rows of mr elements
	transpose8 func(dst *float32, drs int, src *float32, srs, blocks int)

	add, sub   func(y, a, b *float32, n int)
	scale, fma func(y, x *float32, n int, k float32)
	divDiv     func(y, x *float32, n int, k, l float32)
	sumLanes   func(x *float32, n int, l *[lanes]float32)
	dotLanes   func(x, y *float32, n int, l *[lanes]float32)
	mulMul     func(y, x, gain *float32, n int, r float32)
	normDot    func(dy, gain, x *float32, n int, r float32, l *[lanes]float32)
	normGrad   func(dx, dgain, dy, gain, x *float32, n int, r, c float32)
	rope       func(y, x, cos, sin *float32, n, heads int, sign *[lanes]uint32)
	scaleMax   func(x *float32, n int, scale float32, max *float32)
	expSum     func(x *float32, n int, m float32, l *[lanes]float32)
	softGrad   func(s, dp *float32, n int, scale, m, l, dot float32)
	swiglu     func(y, gate, up *float32, n int)
	swigluGrad func(dgate, dup, dy, gate, up *float32, n int)
	adamw      func(p, g, m, v *float32, n int, c *[9]float32)

	centerDot          func(x *float32, n int, mean float32, l *[lanes]float32)
	centerNorm         func(y, x, gain, bias *float32, n int, mean, r float32)
	layerDots          func(dy, gain, x *float32, n int, mean, r float32, sums, dots *[lanes]float32)
	layerGrad          func(dx, dgain, dbias, dy, gain, x *float32, n int, mean, r, b, c float32)
	relu, gelu         func(y, x *float32, n int)
	reluGrad, geluGrad func(dx, dy, x *float32, n int)
	takeMax            func(y *float32, index *int32, x *float32, n int, at int32)
}

// tile folds rows of a tile: four at once, else one by one.
func (v *vector) tile(rows, k int, a []float32, ars, acs int, b []float32, brs int, c []float32, crs, mode int) {
	if rows == 4 {
		v.gemm4(k, &a[0], ars, acs, &b[0], brs, &c[0], crs, mode)
		return
	}
	for r := range rows {
		v.gemm1(k, &a[r*ars], ars, acs, &b[0], brs, &c[r*crs], crs, mode)
	}
}

package exact

type gemmArgs struct {
	m, n, k    int
	a, b, c    []float32
	ars, acs   int // element (i,p) of op(A) is a[i*ars+p*acs]
	brs, bcs   int // element (p,j) of op(B) is b[p*brs+j*bcs]
	ldc        int
	accumulate bool

	// SIMD paths: the panels of B being packed and the shape of a piece of C.
	packed           []float32
	tall             []float32 // op(A), tile by tile, nil where pieces copy it
	panel, panels    int       // first panel and number
	kPieces          int       // stages per panel
	rowsPer, colsPer int       // rows and panels per piece
}

// Gemm computes C = op(A) op(B), or C += op(A) op(B) if accumulate is set.
//
// All matrices are row-major: op(A) is (m,k), stored as (m,k) with row stride lda
// or, if transA, as (k,m); op(B) is (k,n), stored as (k,n) with row stride ldb
// or, if transB, as (n,k); C is (m,n) with row stride ldc. Strides are at least
// the width of a stored row; elements of C between rows are left alone.
//
// Each element is a column fold over p in [0,k) with acc = fma(a[i,p], b[p,j],
// acc) in blocks of 128 from +0. Without accumulate, C is the first block plus
// the following ones ascending (+0 if k is 0); with it, C plus all blocks
// ascending.
func (e *Engine) Gemm(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	const kernel = "Gemm"
	require(m >= 0 && n >= 0 && k >= 0, kernel, "negative dimension")
	if m == 0 || n == 0 {
		return
	}
	g := &e.args.gemm
	*g = gemmArgs{m: m, n: n, k: k, a: a, b: b, c: c, ars: lda, acs: 1, brs: ldb, bcs: 1, ldc: ldc, accumulate: accumulate}
	if transA {
		g.ars, g.acs = 1, lda
		needMatrix(kernel, "a", len(a), k, m, lda)
	} else {
		needMatrix(kernel, "a", len(a), m, k, lda)
	}
	if transB {
		g.brs, g.bcs = 1, ldb
		needMatrix(kernel, "b", len(b), n, k, ldb)
	} else {
		needMatrix(kernel, "b", len(b), k, n, ldb)
	}
	needMatrix(kernel, "c", len(c), m, n, ldc)
	e.gemm(g)
}

// needMatrix checks a stored matrix of rows x cols with the given row stride.
func needMatrix(kernel, name string, have, rows, cols, stride int) {
	if rows == 0 || cols == 0 {
		return
	}
	if rows > 1 && stride < cols {
		panic(&ShapeError{kernel, name + ": row stride is less than the row"})
	}
	need(kernel, name, have, (rows-1)*stride+cols)
}

func (e *Engine) gemm(g *gemmArgs) {
	if e.vec != nil {
		e.vecGemm(g)
		return
	}
	e.pool.run(e, g.m, func(e *Engine, _, i int) { refGemmRow(&e.args.gemm, i) })
}

func refGemmRow(g *gemmArgs, i int) {
	c := g.c[i*g.ldc:]
	for j := range g.n {
		total, first := c[j], !g.accumulate
		if first {
			total = 0
		}
		for lo := 0; lo < g.k; lo += foldBlock {
			acc := float32(0)
			for p := lo; p < min(lo+foldBlock, g.k); p++ {
				acc = FMA32(g.a[i*g.ars+p*g.acs], g.b[p*g.brs+j*g.bcs], acc)
			}
			if first {
				total, first = acc, false
			} else {
				total += acc
			}
		}
		c[j] = total
	}
}

package f64

// Gemm returns op(A) op(B), (m,n); op(A) is (m,k), stored (k,m) if transA, op(B)
// is (k,n), stored (n,k) if transB.
func Gemm(transA, transB bool, m, n, k int, a, b []float64) []float64 {
	ars, acs, brs, bcs := k, 1, n, 1
	if transA {
		ars, acs = 1, m
	}
	if transB {
		brs, bcs = 1, k
	}
	c := make([]float64, m*n)
	for i := range m {
		for j := range n {
			for p := range k {
				c[i*n+j] += a[i*ars+p*acs] * b[p*brs+j*bcs]
			}
		}
	}
	return c
}

// AddBias returns x (rows,dim) with bias (dim) added to each row.
func AddBias(x, bias []float64, rows, dim int) []float64 {
	y := make([]float64, rows*dim)
	for i := range y {
		y[i] = x[i] + bias[i%dim]
	}
	return y
}

// BiasBackward returns the sum over rows of dy (rows,dim).
func BiasBackward(dy []float64, rows, dim int) []float64 {
	dbias := make([]float64, dim)
	for i, d := range dy[:rows*dim] {
		dbias[i%dim] += d
	}
	return dbias
}

// Gather returns the rows of table (vocab,dim) that ids name.
func Gather(table []float64, ids []int32, dim int) []float64 {
	y := make([]float64, 0, len(ids)*dim)
	for _, id := range ids {
		y = append(y, table[int(id)*dim:][:dim]...)
	}
	return y
}

// ScatterAdd returns the gradient (vocab,dim) of Gather.
func ScatterAdd(dy []float64, ids []int32, vocab, dim int) []float64 {
	dtable := make([]float64, vocab*dim)
	for r, id := range ids {
		for j := range dim {
			dtable[int(id)*dim+j] += dy[r*dim+j]
		}
	}
	return dtable
}

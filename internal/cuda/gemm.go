package cuda

import "drystone/internal/exact"

// Tiles of the two product kernels, and how much memory a product may take to be divided over the blocks of its fold.
const (
	largeTile  = 128
	smallTile  = 32
	maxPartial = 16 << 20 // floats
)

// Gemm implements exact.Kernels. Products with too few tiles to keep the card busy are divided over the blocks of the fold as
// well, whose results a second kernel adds in their order.
func (c *Card) Gemm(transA, transB bool, m, n, k int, a []float32, lda int, b []float32, ldb int, y []float32, ldc int, accumulate bool) {
	const kernel = "Gemm"
	require(m >= 0 && n >= 0 && k >= 0, kernel, "negative dimension")
	if m == 0 || n == 0 {
		return
	}
	ars, acs, brs, bcs := lda, 1, ldb, 1
	rowsA, colsA, rowsB, colsB := m, k, k, n
	if transA {
		ars, acs, rowsA, colsA = 1, lda, k, m
	}
	if transB {
		brs, bcs, rowsB, colsB = 1, ldb, n, k
	}
	needMatrix(kernel, "a", len(a), rowsA, colsA, lda)
	needMatrix(kernel, "b", len(b), rowsB, colsB, ldb)
	needMatrix(kernel, "c", len(y), m, n, ldc)
	name, tile := "gemm_small", smallTile
	busy := 2 * c.d.Info().Processors
	if pieces(m, largeTile)*pieces(n, largeTile) >= busy {
		name, tile = "gemm_large", largeTile
	}
	grid := [3]int{pieces(n, tile), pieces(m, tile), 1}
	blocks := pieces(k, exact.FoldBlock)
	launch := func(partial []float32, perSlice int) {
		c.launch(name, grid, 256, m, n, k, a, ars, acs, b, brs, bcs, y, ldc, accumulate, partial, perSlice)
	}
	if tiles := grid[0] * grid[1]; tiles >= busy || blocks < 2 || m*n > maxPartial/blocks {
		launch(nil, 0)
		return
	}
	perSlice := pieces(blocks, pieces(busy, grid[0]*grid[1]))
	grid[2] = pieces(blocks, perSlice)
	partial := c.workspace(blocks * m * n)
	launch(partial, perSlice)
	c.join(y, ldc, partial, blocks, m, n, accumulate)
}

// join adds block results of rows x cols elements.
func (c *Card) join(y []float32, ldc int, partial []float32, blocks, rows, cols int, accumulate bool) {
	c.each("join", rows*cols, y, ldc, partial, blocks, rows*cols, cols, accumulate)
}

func pieces(n, size int) int { return (n + size - 1) / size }

// needMatrix checks a stored matrix of rows x cols with the given row stride.
func needMatrix(kernel, name string, have, rows, cols, stride int) {
	if rows == 0 || cols == 0 {
		return
	}
	require(rows == 1 || stride >= cols, kernel, name+": row stride is less than the row")
	need(kernel, name, have, (rows-1)*stride+cols)
}

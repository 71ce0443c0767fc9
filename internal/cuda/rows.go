package cuda

import (
	"math"

	"drystone/internal/exact"
)

// Rows are folded by teams of sixteen threads, eight in a block of threads. A row has at most maxRow elements.
const (
	teams       = 8
	teamThreads = 16 * teams
	rowBlock    = 4096
	maxRow      = 128 * rowBlock
)

func teamGrid(rows int) [3]int { return [3]int{pieces(rows, teams), 1, 1} }

// RMSNorm implements exact.Kernels.
func (c *Card) RMSNorm(y, x, gain, rstd []float32, rows, dim int, eps float32) {
	const kernel = "RMSNorm"
	require(rows >= 0 && dim > 0 && dim <= maxRow, kernel, "bad dimension")
	need(kernel, "y", len(y), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "gain", len(gain), dim)
	if rstd != nil {
		need(kernel, "rstd", len(rstd), rows)
	}
	if rows > 0 {
		c.launch("rmsnorm", teamGrid(rows), teamThreads, y, x, gain, rstd, rows, dim, eps)
	}
}

// RMSNormBackwardAdd implements exact.Kernels.
func (c *Card) RMSNormBackwardAdd(dx, dgain, plus, dy, x, gain, rstd []float32, rows, dim int, accumulate bool) {
	const kernel = "RMSNormBackward"
	require(rows >= 0 && dim > 0 && dim <= maxRow, kernel, "bad dimension")
	need(kernel, "dx", len(dx), rows*dim)
	if plus != nil {
		need(kernel, "plus", len(plus), rows*dim)
	}
	need(kernel, "dy", len(dy), rows*dim)
	need(kernel, "x", len(x), rows*dim)
	need(kernel, "gain", len(gain), dim)
	need(kernel, "rstd", len(rstd), rows)
	if dgain != nil { // first: dx may be dy
		need(kernel, "dgain", len(dgain), dim)
		c.columns(dgain, rows, dim, accumulate, func(partial []float32, grid [3]int) {
			c.launch("gain_blocks", grid, threads, partial, dy, x, rstd, rows, dim)
		})
	}
	if rows > 0 {
		c.launch("rmsnorm_back", teamGrid(rows), teamThreads, dx, plus, dy, x, gain, rstd, rows, dim)
	}
}

// BiasBackward implements exact.Kernels.
func (c *Card) BiasBackward(dbias, dy []float32, rows, dim int, accumulate bool) {
	const kernel = "BiasBackward"
	require(rows >= 0 && dim > 0, kernel, "bad dimension")
	need(kernel, "dbias", len(dbias), dim)
	need(kernel, "dy", len(dy), rows*dim)
	c.columns(dbias, rows, dim, accumulate, func(partial []float32, grid [3]int) {
		c.launch("sum_blocks", grid, threads, partial, dy, rows, dim)
	})
}

// columns folds over rows: blocks leaves block results, which are joined.
func (c *Card) columns(y []float32, rows, dim int, accumulate bool, blocks func(partial []float32, grid [3]int)) {
	n := pieces(rows, exact.FoldBlock)
	partial := c.workspace(max(n, 1) * dim)
	if n > 0 {
		blocks(partial, [3]int{pieces(dim, threads), n, 1})
	}
	c.join(y, dim, partial, n, 1, dim, accumulate)
}

// CrossEntropyPart implements exact.Kernels. Whether targets are in range has to be known before.
func (c *Card) CrossEntropyPart(logits []float32, targets []int32, rows, vocab, of int, losses []float32, dlogits []float32) {
	const kernel = "CrossEntropy"
	require(rows >= 0 && of >= rows && vocab > 0 && vocab <= maxRow, kernel, "bad dimension")
	need(kernel, "logits", len(logits), rows*vocab)
	need(kernel, "targets", len(targets), rows)
	need(kernel, "losses", len(losses), rows)
	if dlogits != nil {
		need(kernel, "dlogits", len(dlogits), rows*vocab)
	}
	if rows > 0 {
		c.launch("cross_entropy", [3]int{rows, 1, 1}, teamThreads, logits, targets, vocab, float32(of), losses, dlogits)
	}
}

// SquaredError implements exact.Kernels.
func (c *Card) SquaredError(pred, target []float32, rows, dim int, losses, dpred []float32, divisor int) {
	const kernel = "SquaredError"
	require(rows >= 0 && dim > 0 && dim <= maxRow, kernel, "bad dimension")
	require(divisor >= 1 && divisor <= math.MaxInt/dim, kernel, "divisor out of range")
	need(kernel, "pred", len(pred), rows*dim)
	need(kernel, "target", len(target), rows*dim)
	need(kernel, "losses", len(losses), rows)
	if dpred != nil {
		need(kernel, "dpred", len(dpred), rows*dim)
	}
	if rows > 0 {
		c.launch("squared_error", teamGrid(rows), teamThreads, pred, target, rows, dim, losses, dpred, float32(dim*divisor))
	}
}

// Gather implements exact.Kernels. Whether ids are in range has to be known before.
func (c *Card) Gather(y, table []float32, ids []int32, dim int) {
	const kernel = "Gather"
	require(dim > 0, kernel, "bad dimension")
	need(kernel, "y", len(y), len(ids)*dim)
	c.each("gather", len(ids)*dim, y, table, ids, len(ids)*dim, dim)
}

// ScatterAddRows implements exact.Kernels.
func (c *Card) ScatterAddRows(dtable, dy []float32, ids []int32, vocab, dim, lo, hi int, accumulate bool) {
	const kernel = "ScatterAdd"
	require(dim > 0 && 0 <= lo && lo <= hi && hi <= vocab, kernel, "bad dimension")
	need(kernel, "dtable", len(dtable), (hi-lo)*dim)
	need(kernel, "dy", len(dy), len(ids)*dim)
	if hi > lo {
		c.launch("scatter_add", [3]int{hi - lo, 1, 1}, min(threads, pieces(dim, 32)*32), dtable, dy, ids, len(ids), dim, lo, accumulate)
	}
}

// Mean implements exact.Kernels.
func (c *Card) Mean(y, x []float32) { c.reduce("Mean", y, x, false, float32(len(x))) }

// SumSquaresTo implements exact.Kernels.
func (c *Card) SumSquaresTo(y, x []float32) { c.reduce("SumSquaresTo", y, x, true, 0) }

// reduce folds a row of any length, level by level, and divides by count if that is not 0.
func (c *Card) reduce(kernel string, y, x []float32, squares bool, count float32) {
	need(kernel, "y", len(y), 1)
	y = y[:1]
	n := pieces(len(x), rowBlock)
	work := c.workspace(n + pieces(n, rowBlock) + 1)
	from, to, spare := x, work[:n], work[n:]
	for length := len(x); length > 0; {
		c.launch("fold_blocks", [3]int{pieces(n, teams), 1, 1}, teamThreads, to, from, length, squares)
		if n == 1 {
			break
		}
		from, to, spare = to, spare, from
		length, n, squares = n, pieces(n, rowBlock), false
	}
	if len(x) == 0 {
		c.launch("finish", [3]int{1, 1, 1}, 1, y, []float32(nil), count)
		return
	}
	c.launch("finish", [3]int{1, 1, 1}, 1, y, to, count)
}

package exact

// FoldBlock is the terms per block of a column fold (matrix products, gradients of
// gains, biases and embeddings): where work over rows may be divided.
const FoldBlock = 128

// Two-level folds. docs/numerics.md, section 2.
const (
	foldBlock = FoldBlock
	rowBlock  = 4096 // elements per block of a row fold
	lanes     = 16   // partial sums per row block
)

// rowLanes is the state of one block of a row fold.
type rowLanes [lanes]float32

// tree joins the lanes: 8 pairs, 4, 2, 1.
func (l *rowLanes) tree() float32 {
	for i := range 8 {
		l[i] += l[i+8]
	}
	for i := range 4 {
		l[i] += l[i+4]
	}
	return (l[0] + l[2]) + (l[1] + l[3])
}

// refSum is the row fold with acc = acc + x.
func refSum(x []float32) float32 {
	return refRowFold(len(x), func(i int, acc float32) float32 { return acc + x[i] })
}

// refDot is the row fold with acc = fma(x, y, acc).
func refDot(x, y []float32) float32 {
	return refRowFold(len(x), func(i int, acc float32) float32 { return FMA32(x[i], y[i], acc) })
}

// refRowFold folds n terms: in blocks of rowBlock, lane i%lanes takes term i in
// ascending order from +0; the block results form a row that is summed by the
// same rule until one value remains. An empty row gives +0.
func refRowFold(n int, term func(i int, acc float32) float32) float32 {
	if n <= rowBlock {
		return refRowBlock(0, n, term)
	}
	blocks := make([]float32, 0, (n+rowBlock-1)/rowBlock)
	for lo := 0; lo < n; lo += rowBlock {
		blocks = append(blocks, refRowBlock(lo, min(lo+rowBlock, n), term))
	}
	return refSum(blocks)
}

func refRowBlock(lo, hi int, term func(i int, acc float32) float32) float32 {
	var l rowLanes
	for i := lo; i < hi; i++ {
		l[(i-lo)%lanes] = term(i, l[(i-lo)%lanes])
	}
	return l.tree()
}

// colFold is one running column fold: blocks from +0, block results added
// ascending, blocks without a term absent.
type colFold struct {
	total, acc float32
	block      int // current block, valid when open
	open, any  bool
}

// foldFrom is a fold that begins with the total of earlier blocks if there were
// any, and an empty one otherwise.
func foldFrom(total float32, any bool) colFold {
	if !any {
		return colFold{}
	}
	return colFold{total: total, any: true}
}

// at moves to the block that holds term i and returns the accumulator to update.
func (f *colFold) at(i int) *float32 {
	if b := i / foldBlock; !f.open || b != f.block {
		f.close()
		f.open, f.block, f.acc = true, b, 0
	}
	return &f.acc
}

func (f *colFold) close() {
	if !f.open {
		return
	}
	if f.any {
		f.total += f.acc
	} else {
		f.total, f.any = f.acc, true
	}
	f.open = false
}

// sum ends the fold; without any term it is +0.
func (f *colFold) sum() float32 {
	f.close()
	return f.total
}

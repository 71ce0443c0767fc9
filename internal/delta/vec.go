package delta

import (
	"math"

	"drystone/internal/exact"
)

// vector holds the kernels of one SIMD path. All take n in blocks of sixteen elements, at least one. The methods below
// are what the package calls: they do whole blocks by a kernel and the rest by the Go code here, which is the law. A nil
// vector does everything in Go.
type vector struct {
	accumulateBlocks func(after, before, u *float32, n int, decay float32) uint32
	topBlocks        func(x *float32, n int) uint32
	flushBlocks      func(x *float32, n int)
	countBlocks      func(x *float32, n int, below uint32) uint32
	markBlocks       func(marks *uint64, x *float32, n int, below uint32)
	fmaBlocks        func(y *float32, x *byte, n int, w float32)
	levelBlocks      func(level *byte, x *float32, n int, unit, limit float32)
	addBlocks        func(y *float32, level *byte, n int, unit, w float32)
	levelTopBlocks   func(level *byte, n int) uint32 // in pairs of blocks
	squareBlocks     func(level *byte, n int) uint32
	fetchLines       func(p *byte, n int)

	floatDots    func(out *float64, x, y *byte, stride, n int)
	levelDots    func(out *int32, x, y *byte, stride, n int)
	tileX, tileY int // rows of the two sides of these
}

// block is the number of elements that a kernel takes at a time.
const block = 16

// whole returns how many of n elements lie in blocks that a kernel can do.
func (v *vector) whole(n int) int {
	if v == nil {
		return 0
	}
	return n &^ (block - 1)
}

// accumulate sets after = fma(decay, before, u) and returns the largest magnitude bits of after. before may be after.
func (v *vector) accumulate(after, before, u []float32, decay float32) (top uint32) {
	n := v.whole(len(u))
	if n > 0 {
		top = v.accumulateBlocks(&after[0], &before[0], &u[0], n/block, decay)
	}
	for i := n; i < len(u); i++ {
		after[i] = exact.FMA32(decay, before[i], u[i])
		top = max(top, magnitudeBits(after[i]))
	}
	return top
}

// top returns the largest magnitude bits of x.
func (v *vector) top(x []float32) (top uint32) {
	n := v.whole(len(x))
	if n > 0 {
		top = v.topBlocks(&x[0], n/block)
	}
	for _, y := range x[n:] {
		top = max(top, magnitudeBits(y))
	}
	return top
}

// flush replaces magnitudes below 2^-126 by +0, so that no error feedback decays into subnormals for ever.
func (v *vector) flush(x []float32) {
	n := v.whole(len(x))
	if n > 0 {
		v.flushBlocks(&x[0], n/block)
	}
	for i := n; i < len(x); i++ {
		x[i] = flushed(x[i])
	}
}

func flushed(x float32) float32 {
	if magnitudeBits(x) < minNormal {
		return 0
	}
	return x
}

// count returns how many magnitude bits of x are above below, which has no sign bit.
func (v *vector) count(x []float32, below uint32) (count int) {
	n := v.whole(len(x))
	if n > 0 {
		count = int(v.countBlocks(&x[0], n/block, below))
	}
	for _, y := range x[n:] {
		if magnitudeBits(y) > below {
			count++
		}
	}
	return count
}

// mark sets the bits of marks whose elements of x have magnitude bits above below, and clears the others up to len(x).
func (v *vector) mark(marks *[ChunkParams / 64]uint64, x []float32, below uint32) {
	n := v.whole(len(x))
	clear(marks[n/64 : (len(x)+63)/64]) // a block writes but a part of its word
	if n > 0 {
		v.markBlocks(&marks[0], &x[0], n/block, below)
	}
	for i := n; i < len(x); i++ {
		if magnitudeBits(x[i]) > below {
			marks[i/64] |= 1 << (i % 64)
		}
	}
}

// fma sets y = fma(w, x, y) for the little-endian float32 of x.
func (v *vector) fma(y []float32, x []byte, w float32) {
	n := v.whole(len(y))
	if n > 0 {
		v.fmaBlocks(&y[0], &x[:4*len(y)][0], n/block, w)
	}
	for i := n; i < len(y); i++ {
		y[i] = exact.FMA32(w, denseAt(x, i), y[i])
	}
}

// levels rounds x/unit, first to float32 and then to a whole number at most limit in magnitude, both to nearest even,
// into level as two's complement, and leaves x - level*unit, rounded once and flushed. level*unit is exact.
func (v *vector) levels(level []byte, x []float32, unit float32, limit int8) {
	n := v.whole(len(x))
	bound := float32(limit)
	if n > 0 {
		v.levelBlocks(&level[:len(x)][0], &x[0], n/block, unit, bound)
	}
	for i := n; i < len(x); i++ {
		l := float32(math.RoundToEven(float64(min(max(x[i]/unit, -bound), bound))))
		level[i] = byte(int8(l))
		x[i] = flushed(exact.FMA32(-l, unit, x[i]))
	}
}

// addLevels sets y = fma(w, level*unit, y).
func (v *vector) addLevels(y []float32, level []byte, unit, w float32) {
	n := v.whole(len(y))
	if n > 0 {
		v.addBlocks(&y[0], &level[:len(y)][0], n/block, unit, w)
	}
	for i := n; i < len(y); i++ {
		y[i] = exact.FMA32(w, float32(int8(level[i]))*unit, y[i])
	}
}

// levelTop returns the largest magnitude of levels, 128 if there is what is no level.
func (v *vector) levelTop(level []byte) (top uint32) {
	n := v.whole(len(level)) &^ block // an even number of blocks
	if n > 0 {
		top = v.levelTopBlocks(&level[0], n/block)
	}
	for _, l := range level[n:] {
		x := int32(int8(l))
		top = max(top, uint32(max(x, -x)))
	}
	return top
}

// levelSquares returns the sum of the squares of at most a chunk of levels.
func (v *vector) levelSquares(level []byte) (sum uint32) {
	n := v.whole(len(level))
	if n > 0 {
		sum = v.squareBlocks(&level[0], n/block)
	}
	for _, l := range level[n:] {
		sum += uint32(int32(int8(l)) * int32(int8(l)))
	}
	return sum
}

// fetch lets bytes that are soon to be read come nearer.
func (v *vector) fetch(next []byte) {
	if v != nil && len(next) > 0 {
		v.fetchLines(&next[0], (len(next)+63)/64)
	}
}

func magnitudeBits(x float32) uint32 { return math.Float32bits(x) &^ signMask }

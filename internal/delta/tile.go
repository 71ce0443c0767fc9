package delta

// Products multiplies a tile of rows with another at a time: each value that is loaded takes part in many products.
const (
	lanes = 8
	// A row has rowGap bytes behind its values, so that equal places of the rows of a tile do not share a cache set.
	rowGap = 64
	// maxTile is the largest tile of any path.
	maxTile = 4 * 6
)

// tile returns how many rows of each side a tile has.
func (v *vector) tile() (x, y int) {
	if v == nil {
		return 2, 4
	}
	return v.tileX, v.tileY
}

// floatTile adds to lanes the products of the rows of a tile, little-endian float32 that lie stride bytes apart, over so
// many blocks: lane l of 8 folds the elements l, l+8, ... on from what it holds.
func (v *vector) floatTile(acc []float64, x, y []byte, stride, blocks int) {
	if v != nil {
		v.floatDots(&acc[0], &x[0], &y[0], stride, blocks)
		return
	}
	across, down := v.tile()
	for k := range across * down {
		floatLanes((*[lanes]float64)(acc[k*lanes:]), x[k/down*stride:][:4*block*blocks], y[k%down*stride:][:4*block*blocks])
	}
}

// floatLanes is floatTile of one pair of rows. A product of two float32 is exact in float64, so that a fused addition
// rounds as one by itself does.
func floatLanes(acc *[lanes]float64, x, y []byte) {
	for len(x) > 0 {
		for l := range acc {
			acc[l] += float64(denseAt(x, l)) * float64(denseAt(y, l))
		}
		x, y = x[4*lanes:], y[4*lanes:]
	}
}

// foldLanes adds the lanes of one sum up.
func foldLanes(acc []float64) float64 {
	for half := lanes / 2; half > 0; half /= 2 {
		for l := range half {
			acc[l] += acc[l+half]
		}
	}
	return acc[0]
}

// levelTile returns the products of the rows of a tile of levels, as many as it has, over so many pairs of blocks.
func (v *vector) levelTile(x, y []byte, stride, pairs int) (d [maxTile]int32) {
	across, down := v.tile()
	n := 2 * block * pairs
	if v == nil {
		for k := range across * down {
			a, b := x[k/down*stride:][:n], y[k%down*stride:][:n]
			for p, l := range a {
				d[k] += int32(int8(l)) * int32(int8(b[p]))
			}
		}
		return d
	}
	v.levelDots(&d[0], &x[0], &y[0], stride, n/block)
	return d
}

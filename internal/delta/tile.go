package delta

const (
	tileX = 2 // rows that are multiplied with tileY others at once
	tileY = 4
	lanes = 8
)

// floatTile returns the products of 2 rows of x with 4 of y, which lie ChunkParams apart, over so many blocks.
func (v *vector) floatTile(x, y []float32, blocks int) (d [tileX * tileY]float64) {
	var acc [tileX * tileY][lanes]float64
	if v != nil {
		v.floatDots(&acc[0][0], &x[0], &y[0], 4*ChunkParams, blocks)
	} else {
		for k := range acc {
			a, b := x[k/tileY*ChunkParams:][:blocks*block], y[k%tileY*ChunkParams:][:blocks*block]
			acc[k] = floatLanes(a, b)
		}
	}
	for k := range d {
		for half := lanes / 2; half > 0; half /= 2 {
			for l := range half {
				acc[k][l] += acc[k][l+half]
			}
		}
		d[k] = acc[k][0]
	}
	return d
}

// floatLanes folds lane l over the elements l, l+8, ... of both. A product of two float32 is exact in float64, so that a
// fused addition rounds as one by itself does.
func floatLanes(x, y []float32) (acc [lanes]float64) {
	y = y[:len(x)]
	for p := 0; p+lanes <= len(x); p += lanes {
		a, b := (*[lanes]float32)(x[p:]), (*[lanes]float32)(y[p:])
		acc[0] += float64(a[0]) * float64(b[0])
		acc[1] += float64(a[1]) * float64(b[1])
		acc[2] += float64(a[2]) * float64(b[2])
		acc[3] += float64(a[3]) * float64(b[3])
		acc[4] += float64(a[4]) * float64(b[4])
		acc[5] += float64(a[5]) * float64(b[5])
		acc[6] += float64(a[6]) * float64(b[6])
		acc[7] += float64(a[7]) * float64(b[7])
	}
	return acc
}

// levelTile is floatTile of levels.
func (v *vector) levelTile(x, y []byte, blocks int) (d [tileX * tileY]int32) {
	if v == nil {
		for k := range d {
			a, b := x[k/tileY*ChunkParams:][:blocks*block], y[k%tileY*ChunkParams:][:blocks*block]
			for p, l := range a {
				d[k] += int32(int8(l)) * int32(int8(b[p]))
			}
		}
		return d
	}
	var parts [tileX * tileY][8]int32
	v.levelDots(&parts[0][0], &x[0], &y[0], ChunkParams, blocks)
	for k := range d {
		for _, sum := range parts[k] {
			d[k] += sum
		}
	}
	return d
}

package delta

import "fmt"

const (
	tileX = 2 // rows that are multiplied with tileY others at once
	tileY = 4
	lanes = 8
)

// products is the memory of Codec.Products: about 16 KB a payload for dense, less for the other forms, and 8n(n+1)/2
// bytes of sums.
type products struct {
	n      int
	sums   []float64 // lower half, row by row
	params int       // of the chunk
	scale  []float64 // of each row: what a level is worth
	rows   int       // n and as many more, all zeros, as fill the last tile

	floats []float32 // (rows, ChunkParams), of dense
	levels []byte    // (rows, ChunkParams), two's complement, of the others if they are multiplied as a whole
	lists  []entries // of sparse and rice; each owns its memory
	meets  meets
}

// Products returns the inner products of payloads, all of one shard of n parameters, which must have passed Validate:
// (p, p) numbers for p payloads, symmetric. Each chunk's are folded as the package comment says, and the chunks ascending
// from +0. It takes time quadratic in the number of payloads: about p*p/2 products a parameter for dense, int8 and
// masked, and for sparse and rice one for each two payloads that have a value at the same place, at most as many.
// stop is asked before every chunk; its error ends the work. Errors are else those of Reader.
func (c Codec) Products(payloads [][]byte, n int, stop func() error) ([]float64, error) {
	readers := make([]cursor, len(payloads))
	for i, p := range payloads {
		var err error
		if readers[i], err = c.cursor(p, n); err != nil {
			return nil, err
		}
	}
	p := c.newProducts(len(payloads))
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for range Chunks(n) {
		if err := stop(); err != nil {
			return nil, err
		}
		for i := range readers {
			if err := p.take(c, s, &readers[i], i); err != nil {
				return nil, err
			}
		}
		p.fold(c)
	}
	return p.square(), nil
}

func (c Codec) newProducts(n int) *products {
	p := &products{n: n, sums: make([]float64, n*(n+1)/2), scale: make([]float64, n), rows: (n + tileY - 1) / tileY * tileY}
	switch c.form {
	case dense:
		p.floats = make([]float32, p.rows*ChunkParams)
	case sparse, rice:
		p.lists = make([]entries, n)
	default:
		p.levels = make([]byte, p.rows*ChunkParams)
	}
	return p
}

// take decodes the next chunk of payload i.
func (p *products) take(c Codec, s *scratch, r *cursor, i int) error {
	chunk, params, err := r.next(c)
	if err != nil {
		return err
	}
	p.params = params
	if c.form == dense {
		row := p.floats[i*ChunkParams:][:ChunkParams]
		for j := range params {
			row[j] = denseAt(chunk, j)
		}
		clear(row[params:])
		return nil
	}
	e, err := c.unpack(s, chunk, params)
	if err != nil {
		return fmt.Errorf("chunk %d: %w", r.chunk-1, err)
	}
	p.scale[i] = float64(unit(e.scale, c.bits))
	if p.lists != nil {
		l := &p.lists[i]
		l.at, l.level = append(l.at[:0], e.at...), append(l.level[:0], e.level...)
		return nil
	}
	row := p.levels[i*ChunkParams:][:ChunkParams] // those of a mask are at the same places in every row
	clear(row[copy(row, e.level):])
	return nil
}

// fold adds the chunk's inner products.
func (p *products) fold(c Codec) {
	width := (p.params + block - 1) / block
	switch {
	case p.floats != nil:
		p.tiles(func(x, y int) (d [tileX * tileY]float64) {
			return c.vec.floatTile(p.floats[x*ChunkParams:], p.floats[y*ChunkParams:], width)
		})
	case p.lists == nil:
		p.levelTiles(c, width)
	case p.meets.count(p.lists) > wholeIfMore*p.n*p.n:
		p.spread()
		p.levelTiles(c, width)
	default:
		p.meetings()
	}
}

// wholeIfMore is how many meetings a pair of rows may have in the mean before it is cheaper to multiply whole rows.
const wholeIfMore = 32

// tiles adds what dots gives of 2 rows from x on and 4 from y on, of which it needs those with y <= x.
func (p *products) tiles(dots func(x, y int) [tileX * tileY]float64) {
	for x := 0; x < p.n; x += tileX {
		for y := 0; y < x+tileX; y += tileY {
			d := dots(x, y)
			for i := x; i < min(x+tileX, p.n); i++ {
				for j := y; j < min(y+tileY, i+1); j++ {
					p.sums[i*(i+1)/2+j] += d[(i-x)*tileY+j-y]
				}
			}
		}
	}
}

// levelTiles multiplies whole rows of levels. Levels have 7 bits and units 11: a chunk's sum has at most 48 bits, so no
// order of the products shows.
func (p *products) levelTiles(c Codec, width int) {
	unit := func(i int) float64 {
		if i < p.n {
			return p.scale[i]
		}
		return 0
	}
	p.tiles(func(x, y int) (d [tileX * tileY]float64) {
		sums := c.vec.levelTile(p.levels[x*ChunkParams:], p.levels[y*ChunkParams:], width)
		for k, sum := range sums {
			d[k] = float64(sum) * float64(unit(x+k/tileY)*unit(y+k%tileY))
		}
		return d
	})
}

// spread writes the lists of a chunk into rows of levels.
func (p *products) spread() {
	if len(p.levels) == 0 {
		p.levels = make([]byte, p.rows*ChunkParams)
	}
	clear(p.levels)
	for i, e := range p.lists {
		row := p.levels[i*ChunkParams:][:ChunkParams]
		for k, at := range e.at {
			row[at] = e.level[k]
		}
	}
}

// square returns the sums as a symmetric matrix.
func (p *products) square() []float64 {
	out := make([]float64, p.n*p.n)
	for i := range p.n {
		for j := range i + 1 {
			out[i*p.n+j] = p.sums[i*(i+1)/2+j]
			out[j*p.n+i] = out[i*p.n+j]
		}
	}
	return out
}

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

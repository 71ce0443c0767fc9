package delta

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// products is one worker of Codec.Products and its memory: about 4 KB a payload, and for dense 32 bytes for any two.
type products struct {
	at     []cursor // of each payload
	n      int
	slots  [][]float64 // memory for sums of the chunks of a turn
	done   [][]float64 // those that are in
	sums   []float64   // of the chunk: lower half, row by row
	params int         // of the chunk
	scale  []float64   // of each row: what a level is worth
	rows   int         // n and as many more, all zeros, as fill the last tile

	chunks [][]byte  // of dense, of each payload
	floats []byte    // (rows, floatCols) little-endian float32, of dense: a part of the chunks
	lanes  []float64 // of the sums of every tile
	levels []byte    // (rows, ChunkParams), two's complement, of the others if they are multiplied as a whole
	lists  []entries // of sparse and rice; each owns its memory
	meets  meets
}

// Products returns the inner products of payloads, all of one shard of n parameters, which must have passed Validate:
// (p, p) numbers for p payloads, symmetric. Each chunk's are folded as the package comment says, and the chunks ascending
// from +0. So many threads share the chunks, which no bit shows. It takes time quadratic in the number of payloads: about
// p*p/2 products a parameter for dense, int8 and masked, and for sparse and rice one for each two payloads that have a
// value at the same place, never more than for int8. Each chunk is decoded once. The end of ctx ends it, with its error;
// errors are else those of Reader.
func (c Codec) Products(ctx context.Context, threads int, payloads [][]byte, n int) ([]float64, error) {
	at := make([]cursor, len(payloads))
	for i, p := range payloads {
		var err error
		if at[i], err = c.cursor(p, n); err != nil {
			return nil, err
		}
	}
	if len(at) == 0 {
		return nil, nil
	}
	if c.form == silent {
		return make([]float64, len(at)*len(at)), nil
	}
	total := make([]float64, len(at)*(len(at)+1)/2)
	span := max(1, min(spanChunks, spanSums/max(1, len(total)))) // chunks of a worker at a time
	workers := make([]*products, max(1, min(threads, (Chunks(n)+span-1)/span)))
	for w := range workers {
		workers[w] = c.newProducts(slices.Clone(at), span)
	}
	for first := 0; first < Chunks(n); first += span * len(workers) {
		g, ctx := errgroup.WithContext(ctx)
		for w, p := range workers {
			g.Go(func() error { return p.run(ctx, c, first+w*span) })
		}
		if err := g.Wait(); err != nil {
			return nil, err
		}
		for _, p := range workers {
			for _, sums := range p.done {
				for k, x := range sums {
					total[k] += x
				}
			}
		}
	}
	return square(len(payloads), total), nil
}

// A worker does some chunks before it waits for the others: at most spanChunks, whose sums are at most spanSums numbers.
const (
	spanChunks = 8
	spanSums   = 1 << 17
)

// run leaves in done the sums of each chunk from first on, as many as there are and have slots.
func (p *products) run(ctx context.Context, c Codec, first int) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	for i := range p.at {
		if err := p.at[i].skip(c, first); err != nil {
			return err
		}
	}
	p.done = p.slots[:0]
	for i := range p.slots {
		if err := ctx.Err(); err != nil {
			return err
		}
		if p.at[0].left == 0 {
			break
		}
		for k := range p.at {
			if err := p.take(c, s, k); err != nil {
				return err
			}
		}
		if p.sums = p.slots[i]; p.sums == nil {
			p.sums = make([]float64, p.n*(p.n+1)/2)
			p.slots[i] = p.sums
		}
		clear(p.sums)
		p.fold(c)
		p.done = p.slots[:i+1]
	}
	return nil
}

// Rows of floats hold a part of a chunk, which stays in a processor's cache for all products. A row of levels holds a
// chunk.
const (
	floatCols   = ChunkParams / 4
	floatStride = 4*floatCols + rowGap
	levelStride = ChunkParams + rowGap
)

func (c Codec) newProducts(at []cursor, span int) *products {
	n := len(at)
	across, down := c.vec.tile()
	p := &products{at: at, n: n, slots: make([][]float64, span), scale: make([]float64, n), rows: n + max(across, down) - 1}
	switch c.form {
	case dense:
		p.chunks, p.floats = make([][]byte, n), make([]byte, p.rows*floatStride)
	case sparse, rice:
		p.lists = make([]entries, n)
	default:
		p.levels = make([]byte, p.rows*levelStride)
	}
	return p
}

// take decodes the next chunk of payload i.
func (p *products) take(c Codec, s *scratch, i int) error {
	r := &p.at[i]
	chunk, params, err := r.next(c)
	if err != nil {
		return err
	}
	p.params = params
	if c.form == dense {
		p.chunks[i] = chunk
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
	row := p.levels[i*levelStride:][:ChunkParams] // those of a mask are at the same places in every row
	clear(row[copy(row, e.level):])
	return nil
}

// fold adds the chunk's inner products.
func (p *products) fold(c Codec) {
	switch {
	case p.chunks != nil:
		p.floatTiles(c)
	case p.lists == nil:
		p.levelTiles(c)
	case p.meets.count(p.lists) > wholeIfMore*p.n*p.n:
		p.spread()
		p.levelTiles(c)
	default:
		p.meetings()
	}
}

// wholeIfMore is how many meetings a pair of rows may have in the mean before it is cheaper to multiply whole rows.
const wholeIfMore = 8

// tiles calls visit with the first rows of every tile that has a pair i, j with j <= i, and with its number.
func (p *products) tiles(c Codec, visit func(k, x, y int)) {
	across, down := c.vec.tile()
	k := 0
	for x := 0; x < p.n; x += across {
		for y := 0; y < min(x+across, p.n); y += down {
			visit(k, x, y)
			k++
		}
	}
}

// put adds the sums of a tile, of which it needs those with j <= i.
func (p *products) put(c Codec, x, y int, sum func(k int) float64) {
	across, down := c.vec.tile()
	for i := x; i < min(x+across, p.n); i++ {
		for j := y; j < min(y+down, i+1); j++ {
			p.sums[i*(i+1)/2+j] += sum((i-x)*down + j - y)
		}
	}
}

// floatTiles multiplies whole rows of floats, a part of the chunk after the other.
func (p *products) floatTiles(c Codec) {
	across, down := c.vec.tile()
	size := across * down * lanes
	if p.lanes == nil {
		tiles := 0
		p.tiles(c, func(int, int, int) { tiles++ })
		p.lanes = make([]float64, tiles*size)
	}
	clear(p.lanes)
	for lo := 0; lo < p.params; lo += floatCols {
		cols := min(floatCols, p.params-lo)
		for i, chunk := range p.chunks {
			row := p.floats[i*floatStride:][:4*floatCols]
			if k := copy(row, chunk[4*lo:][:4*cols]); k < len(row) {
				clear(row[k:])
			}
		}
		p.tiles(c, func(k, x, y int) {
			if k < p.n {
				p.ahead(c, k, p.chunks[k][4*(lo+cols):])
			}
			c.vec.floatTile(p.lanes[k*size:][:size], p.floats[x*floatStride:], p.floats[y*floatStride:], floatStride, (cols+block-1)/block)
		})
	}
	p.tiles(c, func(k, x, y int) {
		p.put(c, x, y, func(s int) float64 { return foldLanes(p.lanes[k*size+s*lanes:][:lanes]) })
	})
}

// ahead asks the memory for what is taken from payload i next, rest of this chunk or the chunk after it: a tile is at work
// in the meantime, and there are at least as many tiles as payloads, or few.
func (p *products) ahead(c Codec, i int, rest []byte) {
	if len(rest) == 0 {
		rest = p.at[i].rest
	}
	c.vec.fetch(rest[:min(len(rest), ChunkParams)])
}

// levelTiles multiplies whole rows of levels. Levels have 7 bits and units 11: a chunk's sum has at most 48 bits, so no
// order of the products shows.
func (p *products) levelTiles(c Codec) {
	_, down := c.vec.tile()
	pairs := (p.params + 2*block - 1) / (2 * block)
	p.tiles(c, func(k, x, y int) {
		if k < p.n && p.lists == nil {
			p.ahead(c, k, nil)
		}
		sums := c.vec.levelTile(p.levels[x*levelStride:], p.levels[y*levelStride:], levelStride, pairs)
		p.put(c, x, y, func(k int) float64 {
			return float64(sums[k]) * float64(p.scale[x+k/down]*p.scale[y+k%down])
		})
	})
}

// spread writes the lists of a chunk into rows of levels.
func (p *products) spread() {
	if len(p.levels) == 0 {
		p.levels = make([]byte, p.rows*levelStride)
	}
	clear(p.levels)
	for i, e := range p.lists {
		row := p.levels[i*levelStride:][:ChunkParams]
		for k, at := range e.at {
			row[at] = e.level[k]
		}
	}
}

// square makes a symmetric matrix of the lower half of n rows.
func square(n int, sums []float64) []float64 {
	out := make([]float64, n*n)
	for i := range n {
		for j := range i + 1 {
			out[i*n+j] = sums[i*(i+1)/2+j]
			out[j*n+i] = out[i*n+j]
		}
	}
	return out
}

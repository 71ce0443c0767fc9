package delta

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"
)

// products is one worker of Codec.Products and its memory: about 16 KB a payload for dense, less for the other forms.
type products struct {
	at     []cursor // of each payload
	n      int
	slots  [][]float64 // memory for sums of the chunks of a turn
	done   [][]float64 // those that are in
	sums   []float64   // of the chunk: lower half, row by row
	params int         // of the chunk
	scale  []float64   // of each row: what a level is worth
	rows   int         // n and as many more, all zeros, as fill the last tile

	floats []float32 // (rows, ChunkParams), of dense
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

func (c Codec) newProducts(at []cursor, span int) *products {
	n := len(at)
	p := &products{at: at, n: n, slots: make([][]float64, span), scale: make([]float64, n), rows: (n + tileY - 1) / tileY * tileY}
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
func (p *products) take(c Codec, s *scratch, i int) error {
	r := &p.at[i]
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
const wholeIfMore = 8

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

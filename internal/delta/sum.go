package delta

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// sumChunks is how many chunks of all payloads are added before the next ones: their sums stay in a processor's cache.
const sumChunks = 16

// AddAll adds payloads to acc one after the other, each times its weight, as AddTo does, and skips those of weight 0. So
// many threads share the parameters, which no bit of the result shows. It holds no decoded payload. The end of ctx ends
// it, with its error; acc then holds a part.
func (c Codec) AddAll(ctx context.Context, threads int, acc, weights []float32, payloads [][]byte) error {
	var used []weighted
	for i, p := range payloads {
		if weights[i] == 0 {
			continue
		}
		at, err := c.cursor(p, len(acc))
		if err != nil {
			return err
		}
		used = append(used, weighted{at, weights[i]})
	}
	chunks := Chunks(len(acc))
	share := max(1, (chunks+threads-1)/max(1, threads))
	g, ctx := errgroup.WithContext(ctx)
	for first := 0; first < chunks; first += share {
		end := min(first+share, chunks)
		g.Go(func() error { return c.addRange(ctx, acc, used, first, end) })
	}
	return g.Wait()
}

// weighted is a payload and its weight.
type weighted struct {
	cursor
	weight float32
}

// addRange adds the chunks from first to end.
func (c Codec) addRange(ctx context.Context, acc []float32, all []weighted, first, end int) error {
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	at := make([]cursor, len(all))
	for i, p := range all {
		at[i] = p.cursor
		if err := at[i].skip(c, first); err != nil {
			return err
		}
	}
	for ; first < end; first += sumChunks {
		if err := ctx.Err(); err != nil {
			return err
		}
		for i := range at {
			for k := first; k < min(first+sumChunks, end); k++ {
				chunk, params, err := at[i].next(c)
				if err == nil {
					err = c.addChunk(s, acc[k*ChunkParams:][:params], all[i].weight, k, chunk)
				}
				if err != nil {
					return fmt.Errorf("payload %d, chunk %d: %w", i, k, err)
				}
			}
		}
	}
	return nil
}

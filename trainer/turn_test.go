package trainer

import (
	"errors"
	"math"
	"slices"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// docs/protocol.md, "Turns": a shard whose turn it is not has an empty payload, what it would have sent waits in the error
// feedback, and both are checked like any chunk. Masks are those of the round.
func TestTurnsAndMasks(t *testing.T) {
	for name, change := range map[string]func(*protocol.RunSpec){
		"turns": func(s *protocol.RunSpec) { s.Codec.Stagger = 2 },
		"masked": func(s *protocol.RunSpec) {
			s.Codec.Up, s.Codec.TopK, s.Codec.ValueBits = "masked", 512, 0
		},
		"masked turns": func(s *protocol.RunSpec) {
			s.Codec.Up, s.Codec.TopK, s.Codec.ValueBits, s.Codec.Stagger = "masked", 512, 0, 2
		},
	} {
		t.Run(name, func(t *testing.T) { turns(t, change) })
	}
}

func turns(t *testing.T, change func(*protocol.RunSpec)) {
	b := newBench(t, 1, change)
	shards := b.spec.Codec.Shards(b.Params())
	if shards < 2 {
		t.Fatal("one shard takes no turns")
	}
	var before []float32
	for round := range uint32(3) {
		opt := b.options(round)
		opt.Feedback = before
		c := b.train(t, b.assignment(round, 2), opt)
		checkStructure(t, b, c) // every opened chunk is encoded again
		for k, payload := range c.Payloads {
			turn := b.spec.Codec.Stagger == 0 || uint32(k)%2 == round%2
			if (len(payload) > 0) != turn {
				t.Errorf("round %d: shard %d has %d bytes", round, k, len(payload))
			}
			o, err := c.Open(protocol.OpenRequest{Run: b.run, Round: round, Chunks: []uint32{uint32(k * b.spec.Codec.ShardParams / 4096)}})
			if err != nil {
				t.Fatal(err)
			}
			if err := b.CheckChunk(round, b.theta, &o.Chunks[0], payload); err != nil {
				t.Errorf("round %d, shard %d: %v", round, k, err)
			}
			if err := b.CheckChunk(round+1, b.theta, &o.Chunks[0], payload); !errors.Is(err, ErrChunkMismatch) && !errors.Is(err, ErrMalformed) {
				t.Errorf("round %d, shard %d passes for the next round: %v", round, k, err)
			}
			lo, hi := b.spec.Codec.Shard(b.Params(), k)
			if sent := !slices.Equal(c.After[lo:hi], waits(b, c, before, lo, hi)); sent != turn {
				t.Errorf("round %d: shard %d: something was sent: %v", round, k, sent)
			}
		}
		before = c.After
	}
}

// waits is the error feedback of a range of parameters if nothing of it is sent: what was left, decayed, and what was trained.
func waits(b *bench, c *Contribution, before []float32, lo, hi int) []float32 {
	end, err := c.box.get(stateName("theta", len(c.States)))
	if err != nil {
		panic(err)
	}
	theta, err := parseFloats("theta", end, b.Params())
	if err != nil {
		panic(err)
	}
	out := make([]float32, hi-lo)
	for i := range out {
		u, kept := b.theta[lo+i]-theta[lo+i], float32(0)
		if before != nil {
			kept = before[lo+i]
		}
		out[i] = exact.FMA32(float32(b.spec.Codec.Decay), kept, u)
		if math.Abs(float64(out[i])) < 0x1p-126 {
			out[i] = 0
		}
	}
	return out
}

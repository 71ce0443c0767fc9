package trainer

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/internal/delta"
	"drystone/models"
	"drystone/protocol"
)

// partialBench is a bench of 5 shards whose borders cut tensors.
func partialBench(t testing.TB, threads int, edit func(*protocol.RunSpec)) *bench {
	return newBench(t, threads, func(s *protocol.RunSpec) {
		s.Model.Tied, s.Model.FFN = false, 200
		s.Train.MinShards = 1
		if edit != nil {
			edit(s)
		}
	})
}

func (b *bench) partial(round uint32, steps uint32, shards ...uint32) protocol.Assignment {
	a := b.assignment(round, steps)
	a.Shards = shards
	return a
}

// kept checks that a vector is the start bit for bit outside the shards of a contribution, and differs inside each.
func (b *bench) kept(t *testing.T, what string, shards []uint32, start, end []float32) {
	t.Helper()
	for i := range b.spec.Codec.Shards(b.Params()) {
		lo, hi := b.spec.Codec.Shard(b.Params(), i)
		_, own := protocol.PlaceOf(shards, i)
		if same := equalBits(start[lo:hi], end[lo:hi]); same == own {
			t.Fatalf("%s: shard %d of assignment %v: unchanged is %v", what, i, shards, same)
		}
	}
}

// docs/protocol.md, "Shares": whatever shards are assigned, replay of any segment gives the committed state, on a device
// that has just trained others; the contribution passes every check of structure; parameters and error feedback of
// shards not assigned stay as they were.
func TestPartialReplayEqualsTrace(t *testing.T) {
	for _, up := range []string{"sparse", "dense"} {
		for _, kind := range []string{"segment", "prefix"} {
			edit := func(s *protocol.RunSpec) {
				s.Verify.Kind = kind
				if up == "dense" {
					s.Codec = protocol.CodecSpec{Up: "dense", ShardParams: 4096}
				}
			}
			b, other := partialBench(t, 2, edit), partialBench(t, 1, edit)
			for seed, shards := range [][]uint32{{0}, {4}, {1, 2}, {0, 4}, {1, 3}, {0, 2, 3, 4}, nil} {
				name := fmt.Sprintf("%s, %s, %v", up, kind, shards)
				before := make([]float32, b.Params())
				opt := b.options(1)
				if up == "sparse" {
					for i := range before {
						before[i] = float32(i%7-3) * 0x1p-12
					}
					opt.Feedback = before
				}
				a := b.partial(uint32(seed)%4, uint32(1+seed%5), shards...)
				c := b.train(t, a, opt)
				for seg, o := range checkStructure(t, b, c) {
					got, err := other.ReplayOpening(ctx, a, uint32(seg), other.theta, o)
					if err != nil || got != c.States[seg] {
						t.Fatalf("%s: segment %d: %+v, want %+v (%v)", name, seg, got, c.States[seg], err)
					}
					s, err := other.Replay(ctx, a, StartState(other.theta), got.Step)
					if err != nil || s.Trace() != o.To {
						t.Fatalf("%s: prefix to segment %d: %+v, want %+v (%v)", name, seg, s.Trace(), o.To, err)
					}
					if n := b.spec.Codec.Trained(b.Params(), shards); len(s.M) != n || len(s.V) != n {
						t.Fatalf("%s: moments of %d and %d values, want %d", name, len(s.M), len(s.V), n)
					}
					b.kept(t, name, shards, b.theta, s.Theta)
				}
				if up == "sparse" {
					b.kept(t, name+", error feedback", shards, before, c.After)
				}
			}
		}
	}
}

// With all shards named the pieces are the tensors: the same bits as without a list.
func TestAllShardsNamed(t *testing.T) {
	b := partialBench(t, 1, nil)
	want := b.train(t, b.assignment(0, 5), b.options(0))
	got := b.train(t, b.partial(0, 5, 0, 1, 2, 3, 4), b.options(0))
	if got.Root() != want.Root() {
		t.Fatalf("trace root %s, want %s", got.Root(), want.Root())
	}
}

// Without a norm limit one step of a part is that part of one step of everything: gradient and AdamW of a parameter do
// not depend on which others are trained.
func TestPartOfOneStep(t *testing.T) {
	b := partialBench(t, 1, func(s *protocol.RunSpec) { s.Train.Clip = 0 })
	whole, err := b.Replay(ctx, b.assignment(0, 1), StartState(b.theta), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, shards := range [][]uint32{{0}, {3}, {1, 4}, {0, 1, 2, 3}} {
		part, err := b.Replay(ctx, b.partial(0, 1, shards...), StartState(b.theta), 1)
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, s := range shards {
			lo, hi := b.spec.Codec.Shard(b.Params(), int(s))
			n := at + hi - lo
			if !equalBits(part.Theta[lo:hi], whole.Theta[lo:hi]) || !equalBits(part.M[at:n], whole.M[lo:hi]) || !equalBits(part.V[at:n], whole.V[lo:hi]) {
				t.Fatalf("shards %v: shard %d differs from that of the whole step", shards, s)
			}
			at = n
		}
	}
}

// The ranges of shards, cut at tensors, are every trained parameter once, ascending.
func TestCutProperty(t *testing.T) {
	spec := testSpec(nil)
	layout, params, err := models.Layout(protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 2, Heads: 2, KVHeads: 1, FFN: 700, Vocab: 256, Context: 16, NormEps: 1e-5, RopeTheta: 10000})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := spec.Codec
		c.ShardParams = delta.ChunkParams * rapid.IntRange(1, 4).Draw(t, "chunks")
		total := c.Shards(params)
		shards := protocol.AssignShards(total, rapid.Uint32Range(0, 99).Draw(t, "round"),
			[]uint32{rapid.Uint32Range(1, uint32(total)).Draw(t, "capacity"), 1}, 0)
		pieces := cut(layout, trainedRanges(&c, params, shards))
		seen, at := make([]bool, params), 0
		for i, p := range pieces {
			if p.at != at || p.lo >= p.hi || i > 0 && p.lo < pieces[i-1].hi {
				t.Fatalf("piece %d of %v", i, pieces)
			}
			at += p.hi - p.lo
			tensor := slices.IndexFunc(layout, func(l models.Param) bool { return l.Offset <= p.lo && p.hi <= l.Offset+l.Len })
			if tensor < 0 || p.matrix != (len(layout[tensor].Shape) > 1) {
				t.Fatalf("piece %+v is not of one tensor", p)
			}
			for j := p.lo; j < p.hi; j++ {
				seen[j] = true
			}
		}
		for j, got := range seen {
			if _, own := protocol.PlaceOf(shards, j/c.ShardParams); own != got {
				t.Fatalf("parameter %d: trained is %v", j, got)
			}
		}
	})
}

func TestPartialRefuses(t *testing.T) {
	b := partialBench(t, 1, nil)
	for _, shards := range [][]uint32{{5}, {1 << 31}, {1, 1}, {2, 1}} {
		if _, err := b.Train(ctx, b.partial(0, 1, shards...), b.theta, b.options(0)); !errors.Is(err, ErrAssignment) {
			t.Errorf("shards %v: %v", shards, err)
		}
	}
	a := b.partial(0, 4, 1)
	c := b.train(t, a, b.options(0))
	if _, err := c.Reveal(0, protocol.Path{}); !errors.Is(err, ErrRequest) {
		t.Errorf("reveal of a shard that is not assigned: %v", err)
	}
	o := checkStructure(t, b, c)[1]
	o.Theta = slices.Clone(o.Theta)
	o.Theta[3] ^= 1
	if _, err := b.ReplayOpening(ctx, a, 1, b.theta, o); !errors.Is(err, ErrMalformed) {
		t.Errorf("theta changed in a frozen shard: %v", err)
	}
	o.Theta[3] ^= 1
	if _, err := b.ReplayOpening(ctx, b.assignment(0, 4), 1, b.theta, o); !errors.Is(err, ErrMalformed) {
		t.Errorf("moments of a part for an assignment to all: %v", err)
	}
	if _, err := b.Replay(ctx, b.partial(0, 4, 1, 2), State{Step: 2, Theta: b.theta, M: make([]float32, 4096), V: make([]float32, 4096)}, 4); !errors.Is(err, ErrAssignment) {
		t.Errorf("moments of another part: %v", err)
	}
}

// A partial contribution survives the process, and one that is fabricated is found by replay.
func TestPartialStoreAndCheat(t *testing.T) {
	b := partialBench(t, 1, nil)
	a := b.partial(0, 5, 1, 4)
	opt := b.options(0)
	inMemory := b.train(t, a, opt)
	opt.Store = openStore(t, b, filepath.Join(t.TempDir(), "contributions"))
	b.train(t, a, opt)
	c, err := opt.Store.Load(0)
	if err != nil {
		t.Fatal(err)
	}
	if c.Root() != inMemory.Root() || !reflect.DeepEqual(c.Assignment, a) || !reflect.DeepEqual(c.Payloads, inMemory.Payloads) || c.Tokens() != inMemory.Tokens() {
		t.Fatal("the stored contribution differs")
	}
	checkStructure(t, b, c)
	fake, err := Fabricate(b.spec, a, b.theta, b.options(0), 1)
	if err != nil {
		t.Fatal(err)
	}
	for seg, o := range checkStructure(t, b, fake) {
		if got, err := b.ReplayOpening(ctx, a, uint32(seg), b.theta, o); err != nil || got == o.To {
			t.Fatalf("segment %d of a fabricated contribution is not caught (%v)", seg, err)
		}
	}
	// What was trained on other shards than assigned does not replay either.
	other := b.train(t, b.partial(0, 5, 0, 3), b.options(0))
	if got, err := b.ReplayOpening(ctx, a, 0, b.theta, nil); err != nil || got == other.States[0] {
		t.Fatalf("training of other shards replays (%v)", err)
	}
}

// A device that goes from part to part, as one does whose shards move on each round, holds one plan at a time.
func TestOnePlanAtATime(t *testing.T) {
	b := partialBench(t, 1, func(s *protocol.RunSpec) { s.Train.Batch, s.Model.Context = 64, 64 })
	inUse := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	part := func(i uint32) {
		t.Helper()
		if err := b.Rehearse(ctx, b.partial(0, 1, i), b.theta, 1); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint32(5) { // kernels get the scratch that they need
		part(i)
	}
	b.plan = nil
	b.engine.Forget()
	empty := inUse()
	var most, alone uint64
	for i := range uint32(5) {
		part(i)
		alone = max(alone, inUse()-empty)
		if err := b.planFor([]uint32{(i + 1) % 5}); err != nil {
			t.Fatal(err)
		}
		most = max(most, inUse()-empty)
	}
	if most > alone+alone/8 || alone < 1<<20 {
		t.Errorf("going from part to part takes up to %d bytes, one part up to %d", most, alone)
	}
}

package protocol

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Draws, orders and derived digests for fixed inputs, committed for other implementations.
func TestDrawVectors(t *testing.T) {
	type draw struct {
		Seed     string   `json:"seed"`
		Segments uint32   `json:"segments"`
		Segment  uint32   `json:"segment"`
		Total    uint32   `json:"total_chunks"`
		Chunks   []uint32 `json:"chunks"`
	}
	w := newWorld(t)
	peer := w.peers[0].ID()
	reveal := w.chain[3].Digest()
	d := Draw{BLS: pattern48("draw")}
	var draws []draw
	for _, n := range []uint32{1, 2, 3, 48, 4096} {
		seed := Hash(DomainSeed, d.BLS[:])
		if d.Seed() != seed {
			t.Fatalf("seed %s, want %s", d.Seed(), seed)
		}
		draws = append(draws, draw{seed.String(), n, DrawSegment(seed, peer, n), n * 5, DrawChunks(seed, peer, 4, n*5)})
	}
	var verifiers []PeerID
	for _, k := range w.aggregators {
		verifiers = append(verifiers, k.ID())
	}
	goldenJSON(t, "draw.json", map[string]any{
		"peer": peer, "draws": draws, "reveal_set": reveal, "verifiers": verifiers, "check_order": CheckOrder(reveal, peer, verifiers),
		"draw_message":  Digest(DrawMessage(w.run, 0, RootOf(w.frozen), reveal)),
		"states_digest": StatesDigest(verifiers[0], w.states[1]),
		"payload_leaf":  w.shards[0], "frozen_leaf": w.frozen[0], "trace_root": RootOf(w.trace), "commit": w.commit.Digest(),
	})
}

// Chunks are distinct, ascending and in range, and as many as asked for, or all there are.
func TestDrawChunksProperty(t *testing.T) {
	peer := DeriveKey(1, "a").ID()
	rapid.Check(t, func(t *rapid.T) {
		seed := Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		total := rapid.Uint32Range(0, 300).Draw(t, "total")
		n := rapid.Uint32Range(0, 64).Draw(t, "n")
		got := DrawChunks(seed, peer, n, total)
		if uint32(len(got)) != min(n, total) {
			t.Fatalf("%d chunks, want %d of %d", len(got), n, total)
		}
		for i, c := range got {
			if c >= total || i > 0 && got[i-1] >= c {
				t.Fatalf("chunk %d of %v, total %d", c, got, total)
			}
		}
		if more := DrawChunks(seed, peer, n+1, total); !subset(got, more) {
			t.Fatalf("%v is not part of the larger draw %v", got, more)
		}
	})
}

func subset(a, b []uint32) bool {
	return !slices.ContainsFunc(a, func(c uint32) bool { return !slices.Contains(b, c) })
}

// Over many seeds every segment is drawn about equally often, and two peers' draws are independent. The seeds are fixed,
// so this cannot fail by chance: each count lies within five standard deviations of its mean.
func TestDrawSegmentSpreads(t *testing.T) {
	const segments, draws = 8, 8000
	a, b := DeriveKey(1, "a").ID(), DeriveKey(1, "b").ID()
	var count [segments]int
	same := 0
	for i := range draws {
		seed := Hash("test", pattern(string(rune(i)), 8))
		s := DrawSegment(seed, a, segments)
		count[s]++
		if s == DrawSegment(seed, b, segments) {
			same++
		}
	}
	for s, n := range append(count[:], same) {
		if n < 1000-148 || n > 1000+148 { // sqrt(8000 * 1/8 * 7/8) = 29.6
			t.Errorf("class %d: %d draws, want about 1000", s, n)
		}
	}
}

// Rendezvous hashing: the order depends neither on how verifiers are listed nor on who else is, and nobody checks itself.
func TestCheckOrderProperty(t *testing.T) {
	var ids []PeerID
	for _, k := range sortedKeys("a", "b", "c", "d", "e", "f", "g") {
		ids = append(ids, k.ID())
	}
	rapid.Check(t, func(t *rapid.T) {
		reveal := Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "reveal"))
		peer := ids[rapid.IntRange(0, len(ids)-1).Draw(t, "peer")]
		order := CheckOrder(reveal, peer, ids)
		if len(order) != len(ids)-1 || slices.Contains(order, peer) {
			t.Fatalf("order %v for peer %s", order, peer)
		}
		if got := CheckOrder(reveal, peer, rapid.Permutation(ids).Draw(t, "ids")); !slices.Equal(got, order) {
			t.Fatalf("order depends on the listing: %v, %v", got, order)
		}
		gone := order[rapid.IntRange(0, len(order)-1).Draw(t, "gone")]
		rest := func(in []PeerID) []PeerID {
			return slices.DeleteFunc(slices.Clone(in), func(p PeerID) bool { return p == gone })
		}
		if got := CheckOrder(reveal, peer, rest(ids)); !slices.Equal(got, rest(order)) {
			t.Fatalf("without %s the others change places: %v, %v", gone.Short(), got, order)
		}
	})
}

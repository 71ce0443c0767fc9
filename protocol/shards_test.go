package protocol

import (
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// docs/protocol.md, "Shares": in a round no shard has more than one partial peer more than another, each peer has as many
// shards as it can train, and with one roster every peer trains every shard within ceil(shards/smallest) rounds.
func TestAssignShardsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards := rapid.IntRange(1, 40).Draw(t, "shards")
		capacity := rapid.SliceOfN(rapid.Uint32Range(0, uint32(shards)+2), 1, 12).Draw(t, "capacity")
		first := rapid.Uint32Range(0, 1<<24).Draw(t, "round")
		smallest := uint32(shards)
		for _, c := range capacity {
			if c > 0 {
				smallest = min(smallest, c)
			}
		}
		reached := make([]map[uint32]bool, len(capacity))
		for r := range (uint32(shards) + smallest - 1) / smallest {
			count := make([]int, shards)
			spans := ShardSpans(shards, first+r, capacity)
			for i, c := range capacity {
				got := AssignShards(shards, first+r, capacity, i)
				for s := range shards {
					if _, own := PlaceOf(got, s); own != spans[i].Has(s) {
						t.Fatalf("shard %d of %v: %v is in span %+v", s, got, !own, spans[i])
					}
				}
				if c == 0 || c >= uint32(shards) {
					if got != nil {
						t.Fatalf("a peer that can train %d of %d shards is assigned %v", c, shards, got)
					}
					continue
				}
				if len(got) != int(c) || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
					t.Fatalf("capacity %d: %v", c, got)
				}
				if reached[i] == nil {
					reached[i] = map[uint32]bool{}
				}
				for _, s := range got {
					count[s]++ // panics for a shard that there is not
					reached[i][s] = true
				}
			}
			if slices.Max(count)-slices.Min(count) > 1 {
				t.Fatalf("round %d: %v peers on the shards, capacities %v", first+r, count, capacity)
			}
		}
		for i, shardsOf := range reached {
			if shardsOf != nil && len(shardsOf) != shards {
				t.Fatalf("peer %d of %v reached %d of %d shards", i, capacity, len(shardsOf), shards)
			}
		}
	})
}

// Assignments for fixed inputs, committed for other implementations.
func TestAssignShardsVectors(t *testing.T) {
	type vector struct {
		Shards   int        `json:"shards"`
		Round    uint32     `json:"round"`
		Capacity []uint32   `json:"capacity"`
		Assigned [][]uint32 `json:"assigned"` // empty for all
		Chunks   []uint32   `json:"chunks"`   // that the draw checks of the second peer, 5 chunks a shard, the last one of 3
	}
	spec := testSpec()
	spec.Codec.ShardParams = 5 * chunkParams
	seed, peer := Hash("seed"), DeriveKey(1, "peer0").ID()
	var out []vector
	for _, v := range []vector{
		{Shards: 4, Round: 0, Capacity: []uint32{0, 2, 2}}, {Shards: 4, Round: 1, Capacity: []uint32{0, 2, 2}},
		{Shards: 7, Round: 3, Capacity: []uint32{3, 0, 2, 7, 9}}, {Shards: 7, Round: 1 << 24, Capacity: []uint32{6, 5}},
		{Shards: 3, Round: 5, Capacity: nil},
	} {
		for i := range v.Capacity {
			v.Assigned = append(v.Assigned, AssignShards(v.Shards, v.Round, v.Capacity, i))
		}
		v.Chunks = spec.CheckChunks(seed, peer, (5*v.Shards-2)*chunkParams, AssignShards(v.Shards, v.Round, v.Capacity, 1))
		out = append(out, v)
	}
	goldenJSON(t, "shards.json", out)
}

// What a draw checks of a partial contribution: as many chunks of its shards as the spec says, and as many of the others
// if something is carried over there. With all shards it is DrawChunks.
func TestCheckChunksProperty(t *testing.T) {
	peer := DeriveKey(1, "a").ID()
	rapid.Check(t, func(t *rapid.T) {
		spec := testSpec()
		spec.Codec.Up = rapid.SampledFrom([]string{"sparse", "dense"}).Draw(t, "codec")
		spec.Codec.ShardParams = chunkParams * rapid.IntRange(1, 3).Draw(t, "chunks per shard")
		spec.Verify.Chunks = rapid.Uint32Range(0, 32).Draw(t, "chunks")
		params := rapid.IntRange(1, 60*chunkParams).Draw(t, "params")
		shards := spec.Codec.Shards(params)
		capacity := []uint32{rapid.Uint32Range(0, uint32(shards)).Draw(t, "capacity"), 1, 2}
		own := AssignShards(shards, rapid.Uint32Range(0, 100).Draw(t, "round"), capacity, 0)
		seed := Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed"))
		got := spec.CheckChunks(seed, peer, params, own)
		total := uint32((params + chunkParams - 1) / chunkParams)
		if len(own) == 0 {
			if want := DrawChunks(seed, peer, spec.Verify.Chunks, total); !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
			return
		}
		var trained, all uint32
		for i := range total {
			if _, ok := PlaceOf(own, int(i)*chunkParams/spec.Codec.ShardParams); ok {
				all++
			}
		}
		for i, c := range got {
			if c >= total || i > 0 && got[i-1] >= c {
				t.Fatalf("chunk %d of %v, total %d", c, got, total)
			}
			if _, ok := PlaceOf(own, int(c)*chunkParams/spec.Codec.ShardParams); ok {
				trained++
			}
		}
		want := uint32(0)
		if spec.Codec.Up == "sparse" {
			want = min(spec.Verify.Chunks, total-all)
		}
		if trained != min(spec.Verify.Chunks, all) || uint32(len(got))-trained != want {
			t.Fatalf("%d and %d of %d and %d chunks", trained, uint32(len(got))-trained, all, total-all)
		}
	})
}

// docs/economics.md: tokens x trained parameters / parameters, rounded down, without overflow.
func TestTokensByShare(t *testing.T) {
	s := testSpec() // 1024 tokens a step, 3 shards of 4096, 4096 and 1000 parameters
	for _, tt := range []struct {
		steps  uint32
		shards []uint32
		want   uint64
	}{
		{15, nil, 15360}, {15, []uint32{0}, 15360 * 4096 / testParams}, {15, []uint32{0, 2}, 15360 * 5096 / testParams}, {0, []uint32{1}, 0},
	} {
		if got := s.Tokens(tt.steps, testParams, tt.shards); got != tt.want {
			t.Errorf("%d steps of %v: %d tokens, want %d", tt.steps, tt.shards, got, tt.want)
		}
	}
	s.Train.Batch, s.Model.Context, s.Codec.ShardParams = 1<<16, 1<<17, 1<<24
	if got := s.Tokens(1<<16, 1<<40, []uint32{7}); got != 1<<(16+33-16) {
		t.Errorf("greatest values: %d", got)
	}
}

// A reveal of a partial contribution stands at its shard's place in the assignment; a shard that was not assigned has none.
func TestRevealCheckPartial(t *testing.T) {
	w := newWorld(t)
	own := []uint32{0, 2}
	w.shards = []Digest{w.shards[0], w.shards[2]}
	w.end.Payload = RootOf(w.shards)
	w.trace[len(w.trace)-1] = w.end.Leaf()
	c := w.commit.Body
	c.Trace = RootOf(w.trace)
	w.frozen[0] = FrozenLeaf(bodyDigest(c))
	reveal := func(shard, place int) *Reveal {
		r := w.reveal(0)
		r.Shard, r.Payload, r.Salt, r.ShardPath = uint32(shard), w.payloads[shard], w.salts[shard], PathTo(w.shards, place)
		return r
	}
	for place, shard := range own {
		if err := reveal(int(shard), place).Check(w.spec, testParams, own, &c, RootOf(w.frozen)); err != nil {
			t.Errorf("shard %d: %v", shard, err)
		}
	}
	for name, r := range map[string]*Reveal{"not assigned": reveal(1, 1), "another's place": reveal(2, 0)} {
		if err := r.Check(w.spec, testParams, own, &c, RootOf(w.frozen)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for name, assigned := range map[string][]uint32{"all": nil, "fewer": {0}, "others": {0, 1}} {
		if err := reveal(2, 1).Check(w.spec, testParams, assigned, &c, RootOf(w.frozen)); err == nil {
			t.Errorf("assigned %s: accepted", name)
		}
	}
}

// One value has one encoding: an empty last field is left out, and capacities are as many as peers.
func TestLastFieldLeftOut(t *testing.T) {
	run, id := Hash("run"), DeriveKey(1, "a").ID()
	join := cat(0x58, 32, run[:], 0x58, 33, id[:], 0x54, make([]byte, 20), 5)
	open := cat(0x58, 32, run[:], 0x58, 32, run[:], 0x81, 0x58, 33, id[:])
	if got := mustEncode(Join{Run: run, Peer: id, Nonce: 5}); !slices.Equal(got, cat(0x84, join)) {
		t.Errorf("join: %x", got)
	}
	if got := mustEncode(Join{Run: run, Peer: id, Nonce: 5, Shards: 3}); !slices.Equal(got, cat(0x85, join, 3)) {
		t.Errorf("join of 3 shards: %x", got)
	}
	if got := mustEncode(Open{Model: run, Outer: run, Roster: []PeerID{id}, Capacity: []uint32{3}}); !slices.Equal(got, cat(0x84, open, 0x81, 3)) {
		t.Errorf("open: %x", got)
	}
	for name, data := range map[string][]byte{
		"no shards": cat(0x85, join, 0), "null": cat(0x85, join, 0xf6), "one more": cat(0x86, join, 3, 0), "one less": cat(0x83, join[:len(join)-1]),
		"shards too large": cat(0x85, join, 0x1b, 1, 0, 0, 0, 0, 0, 0, 0), "head not shortest": cat(0x98, 5, join, 3),
	} {
		if err := Decode(data, MaxMessage, new(Join)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("join, %s: %v", name, err)
		}
	}
	if got := mustEncode(Open{Model: run, Outer: run, Roster: []PeerID{id}, Start: run}); !slices.Equal(got, cat(0x86, open, 0x80, 0x58, 32, run[:], 0x80)) {
		t.Errorf("open of the last round of a delayed run: %x", got)
	}
	start := cat(0x58, 32, run[:])
	for name, data := range map[string][]byte{
		"no start":           cat(0x86, open, 0x80, 0x58, 32, make([]byte, 32), 0x80),
		"zero capacity":      cat(0x86, open, 0x81, 0, start, 0x80),
		"too many":           cat(0x86, open, 0x82, 1, 1, start, 0x80),
		"capacity null":      cat(0x86, open, 0xf6, start, 0x80),
		"ahead null":         cat(0x86, open, 0x80, start, 0xf6),
		"start without list": cat(0x85, open, 0x80, start),
		"one more":           cat(0x87, open, 0x80, start, 0x80, 0),
	} {
		if err := Decode(data, MaxMessage, new(Open)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("delayed open, %s: %v", name, err)
		}
	}
	for name, data := range map[string][]byte{
		"no capacity": cat(0x84, open, 0x80), "all zero": cat(0x84, open, 0x81, 0), "too many": cat(0x84, open, 0x82, 1, 1), "null": cat(0x84, open, 0xf6),
		"not shortest": cat(0x84, open, 0x81, 0x18, 3), "list head not shortest": cat(0x84, open, 0x98, 1, 3),
	} {
		if err := Decode(data, MaxMessage, new(Open)); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("open, %s: %v", name, err)
		}
	}
}

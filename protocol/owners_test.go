package protocol

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// t+f owners, all where a part would not do.
func TestOwners(t *testing.T) {
	base := func() *RunSpec {
		s := testSpec()
		s.Outer.Optimiser, s.Aggregate.Rule, s.Codec.ShardParams = "nesterov", "centered-clip", 4096
		return s
	}
	for _, c := range []struct {
		n, t, want int
		change     func(*RunSpec)
		params     int
		roster     int
	}{
		{n: 4, t: 3, want: 4}, {n: 5, t: 4, want: 5}, {n: 7, t: 5, want: 7}, {n: 1, t: 1, want: 1},
		{n: 5, t: 3, want: 3}, {n: 10, t: 6, want: 7}, {n: 16, t: 9, want: 10}, {n: 3, t: 2, want: 2},
		{n: 5, t: 3, want: 5, params: 4096},
		{n: 5, t: 3, want: 5, change: func(s *RunSpec) { s.Codec.ShardParams = 3 * 4096 }},
		{n: 5, t: 3, want: 5, change: func(s *RunSpec) { s.Outer.Optimiser = "fedyogi" }},
		{n: 5, t: 3, want: 5, roster: 510}, {n: 5, t: 3, want: 3, roster: 509},
		{n: 5, t: 3, want: 3, roster: 510, change: func(s *RunSpec) { s.Aggregate.Rule = "mean" }},
	} {
		s := base()
		if c.change != nil {
			c.change(s)
		}
		params, roster := max(c.params, 4097), max(c.roster, 8)
		if c.params > 0 {
			params = c.params
		}
		if c.change != nil {
			params = 1 << 20
		}
		if got := s.Owners(QuorumSpec{Aggregators: c.n, Threshold: c.t}, params, roster); got != c.want {
			t.Errorf("%+v: %d owners", c, got)
		}
	}
	if n := maxGramRoster; 4*n*(n+3) > MaxMessage-4096 || 4*(n+1)*(n+4) <= MaxMessage-4096 {
		t.Errorf("%d peers are not the most whose inner products fit", n)
	}
}

// The order as other implementations must give it, and the properties of rendezvous hashing (Thaler and Ravishankar 1998):
// a member that goes takes only its own shards, and shards spread evenly.
func TestOwnerOrder(t *testing.T) {
	run := Hash("test-run")
	ids := make([]PeerID, 7)
	for i := range ids {
		ids[i] = DeriveKey(1, fmt.Sprint("agg", i)).ID()
	}
	slices.SortFunc(ids, func(a, b PeerID) int { return bytes.Compare(a[:], b[:]) })
	type vector struct {
		Run    string   `json:"run"`
		Shard  uint32   `json:"shard"`
		Owners []string `json:"owners"`
	}
	var vectors []vector
	for shard := range uint32(3) {
		v := vector{Run: run.String(), Shard: shard}
		for _, id := range OwnerOrder(run, shard, ids) {
			v.Owners = append(v.Owners, hex.EncodeToString(id[:]))
		}
		vectors = append(vectors, v)
	}
	goldenJSON(t, "owners.json", vectors)

	first := map[PeerID]int{}
	for shard := range uint32(7000) {
		first[OwnerOrder(run, shard, ids)[0]]++
	}
	for id, n := range first {
		if n < 800 || n > 1200 {
			t.Errorf("%s comes first in %d of 7000 shards", id.Short(), n)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		gone := rapid.IntRange(0, len(ids)-1).Draw(t, "gone")
		shard := rapid.Uint32().Draw(t, "shard")
		want := slices.DeleteFunc(OwnerOrder(run, shard, ids), func(id PeerID) bool { return id == ids[gone] })
		if got := OwnerOrder(run, shard, slices.Delete(slices.Clone(ids), gone, gone+1)); !slices.Equal(got, want) {
			t.Fatalf("without one: %v, want %v", got, want)
		}
	})
}

// Where the leaves of a shard are a power of two, the root of a vector is that over its shards' roots (RFC 6962, section 2.1).
func TestShardRootsCompose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		per := 1 << rapid.IntRange(0, 4).Draw(t, "log2 of leaves per shard")
		leaves := make([]Digest, rapid.IntRange(1, 100).Draw(t, "leaves"))
		for i := range leaves {
			leaves[i] = LeafHash([]byte{byte(i)})
		}
		var roots []Digest
		for lo := 0; lo < len(leaves); lo += per {
			roots = append(roots, RootOf(leaves[lo:min(lo+per, len(leaves))]))
		}
		if RootOf(roots) != RootOf(leaves) {
			t.Fatal("the roots differ")
		}
	})
}

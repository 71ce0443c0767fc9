package node

import (
	"strings"
	"testing"

	"drystone/protocol"
)

// Where some peers train a part, the shard that the fewest train counts.
func TestFewOfAShard(t *testing.T) {
	spec := TinySpec(1, 3, 4)
	a := &member{spec: &spec, params: 4 * spec.Codec.ShardParams}
	open := protocol.Open{Roster: make([]protocol.PeerID, 6), Capacity: []uint32{0, 0, 1, 1, 1, 2}}
	for round, want := range []int{3, 3, 3, 3} { // two train everything; five shares on four shards leave each at least one
		if got := a.contributors(&open, uint32(round)); got != want {
			t.Errorf("round %d: %d contributors, want %d", round, got, want)
		}
	}
	open.Capacity = nil
	if got := a.contributors(&open, 0); got != 6 {
		t.Errorf("%d contributors, want 6", got)
	}
}

// An Open from before a restart may assign more than a peer offers now: that round is left out.
func TestCapacityAdmits(t *testing.T) {
	for _, tt := range []struct {
		offered uint32
		shards  int
		ok      bool
	}{{0, 0, true}, {0, 3, true}, {2, 2, true}, {2, 1, true}, {2, 3, false}, {2, 0, false}} {
		if err := (Capacity{Shards: tt.offered, Of: 4}).admits(tt.shards); (err == nil) != tt.ok {
			t.Errorf("offer of %d, assigned %d: %v", tt.offered, tt.shards, err)
		}
	}
}

// Too few contributors are announced when it begins and when their number changes, not in every round.
func TestSayIfFew(t *testing.T) {
	rec := &recorder{}
	a := &member{}
	a.cfg.OnEvent = rec.event
	var want []uint64
	for round, c := range []struct {
		peers int
		said  bool
	}{{3, true}, {3, false}, {4, true}, {5, false}, {9, false}, {4, true}, {1, true}, {1, false}} {
		open := protocol.Open{}
		for i := range c.peers {
			open.Roster = append(open.Roster, protocol.DeriveKey(1, string(rune('a'+i))).ID())
		}
		body, err := protocol.Encode(open)
		if err != nil {
			t.Fatal(err)
		}
		a.sayIfFew(&protocol.Statement{Kind: protocol.KindOpen, Round: uint32(round), Body: body})
		if c.said {
			want = append(want, uint64(c.peers))
		}
		got := rec.of(EventFew)
		if len(got) != len(want) {
			t.Fatalf("round %d of %d: said %d times, want %d", round, c.peers, len(got), len(want))
		}
		if e := got[len(got)-1]; c.said && (e.Count != uint64(c.peers) || e.Round != uint32(round) || !strings.Contains(e.Text, "no merge rule protects")) {
			t.Errorf("round %d: %+v", round, e)
		}
	}
}

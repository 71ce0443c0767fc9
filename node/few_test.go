package node

import (
	"strings"
	"testing"

	"drystone/protocol"
)

// Too few contributors are announced when it begins and when their number changes, not in every round.
func TestSayIfFew(t *testing.T) {
	rec := &recorder{}
	a := &Aggregator{}
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

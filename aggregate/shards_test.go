package aggregate_test

import (
	"errors"
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// partial admits peers that train one of the world's two shards, of 4096 and 904 parameters.
func partial(s *protocol.RunSpec) { s.Train.MinShards, s.Payout.EpochRounds = 1, 1 }

// A Join may offer as few shards as the RunSpec admits, and not as many as there are: that is 0.
func TestJoinCapacity(t *testing.T) {
	for _, c := range []struct {
		min, shards uint32
		want        error
	}{
		{0, 0, nil}, {0, 1, aggregate.ErrInvalid}, {1, 0, nil}, {1, 1, nil}, {1, 2, aggregate.ErrInvalid}, {1, 1 << 31, aggregate.ErrInvalid}, {2, 1, aggregate.ErrInvalid},
	} {
		p := newPlay(t, func(s *protocol.RunSpec) { s.Train.MinShards = c.min })
		if err := p.try(p.w.JoinPart(0, 1, c.shards)); !errors.Is(err, c.want) {
			t.Errorf("min_shards = %d: join with %d: %v, want %v", c.min, c.shards, err, c.want)
		}
	}
}

// docs/protocol.md, "Shares": the Open carries what each of the roster can train, duties say what follows from it, and a
// part earns by its share. A later Join changes the capacity from the next Open on; with nobody partial the Open has none.
func TestCapacityInTheChain(t *testing.T) {
	p := newPlay(t, partial)
	p.must(p.w.JoinPart(0, 1, 1))
	p.must(p.w.JoinPart(1, 1, 1))
	p.join(2)
	p.work()
	open := func() *protocol.Open {
		t.Helper()
		s := p.final[len(p.final)-1].Statement
		o, err := protocol.DecodeBody[protocol.Open](&s)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	first := open()
	if !slices.Equal(first.Capacity, []uint32{1, 1, 0}) {
		t.Fatalf("capacities %v", first.Capacity)
	}
	p.commit(0, 1)
	p.must(p.w.JoinPart(0, 2, 0))
	p.must(p.w.JoinPart(1, 2, 0))
	// A machine restored from its snapshot has the same duties.
	again, err := aggregate.New(p.w.Config())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Restore(p.snapshot()); err != nil {
		t.Fatal(err)
	}
	p.m = again
	p.must(p.w.Commit(p.m.View(), 2, "honest"))
	want := [][]uint32{{0}, {1}, nil}
	gathers, checks := 0, 0
	for p.m.View().LastSettled == nil {
		for i, k := range p.w.Aggs {
			for _, d := range p.m.Duties(k.ID()) {
				switch d := d.(type) {
				case aggregate.DutyGather:
					if at := slices.Index(first.Roster, d.Commit.Body.Peer); !slices.Equal(d.Shards, want[at]) {
						t.Fatalf("gather of %s: shards %v, want %v", p.w.Name(d.Commit.Body.Peer), d.Shards, want[at])
					}
					gathers++
				case aggregate.DutyCheck:
					if own := d.Assignment.Shards; d.Assignment.Round == 0 && !slices.Equal(own, want[d.Assignment.Index]) {
						t.Fatalf("check of %s: shards %v, want %v", p.w.Name(d.Peer), own, want[d.Assignment.Index])
					} else if len(own) == 1 && (len(d.Chunks) != 1 || d.Chunks[0] != own[0]) { // dense: nothing is carried over
						t.Fatalf("check of %s: chunks %v of shards %v", p.w.Name(d.Peer), d.Chunks, own)
					}
					checks++
				}
				if err := p.try(p.w.Discharge(p.w.Aggs[i], d)); err != nil && !errors.Is(err, aggregate.ErrLate) && !errors.Is(err, aggregate.ErrDuplicate) {
					t.Fatal(err)
				}
			}
		}
	}
	p.work()
	if gathers == 0 || checks == 0 {
		t.Fatalf("%d gathers, %d checks seen", gathers, checks)
	}
	if second := open(); second.Capacity != nil || len(second.Roster) != 3 {
		t.Fatalf("second Open: %+v", second)
	}
	settled := p.m.View().LastSettled
	if settled == nil {
		t.Fatal("round 0 is not settled")
	}
	// One unit per token: steps are 4 + peer, a step has 16 tokens; peers 0 and 1 trained 4096 and 904 of 5000 parameters.
	for i, tokens := range []uint64{4 * 16 * 4096 / 5000, 5 * 16 * 904 / 5000, 6 * 16} {
		found := slices.ContainsFunc(settled.Payouts, func(x protocol.Payout) bool {
			return x.Account[0] == byte(i+1) && x.Cumulative.Big().Uint64() == tokens
		})
		if !found {
			t.Errorf("peer %d: want %d tokens in %+v", i, tokens, settled.Payouts)
		}
	}
}

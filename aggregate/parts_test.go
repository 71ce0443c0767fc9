package aggregate_test

import (
	"errors"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

const manyShards = 150

// newManyShards is a play of a run with more shards than may be ahead of the fold, at the merge of its first round.
func newManyShards(t tb) *play {
	p := newPlayOf(t, manyShards, fewOwners)
	p.join(0, 1, 2)
	p.work()
	p.commit(0, 1, 2)
	for p.m.Phase() != aggregate.PhaseMerge {
		p.step()
	}
	return p
}

// An owner cannot fill the state with sums of shards that are far from being folded: those wait, no owner is asked for them
// or at fault for them, and the merge goes on to the end in bounded steps.
func TestSumsWaitForTheFold(t *testing.T) {
	p := newManyShards(t)
	first := find[aggregate.DutySums](p, p.w.Aggs[0])
	far := first
	for _, k := range []uint32{64, 65, manyShards - 1} {
		far.Shard = k
		if err := p.try(p.w.Sums(p.w.Aggs[0], far)); !errors.Is(err, aggregate.ErrEarly) {
			t.Errorf("sums of shard %d before any is folded: %v", k, err)
		}
	}
	far.Shard = 63
	p.must(p.w.Sums(p.w.Aggs[0], far))
	p.tick(1)
	p.tick(31) // deadlines.reveal without a step forward
	if len(p.fx.Faults) == 0 {
		t.Error("nobody is at fault who owes sums")
	}
	for _, f := range p.fx.Faults {
		owes := false
		for k := range uint32(64) {
			for _, id := range protocol.OwnerOrder(p.w.Run, k, p.w.Members())[:3] {
				owes = owes || id == f.Aggregator
			}
		}
		if !owes {
			t.Errorf("%s is at fault for a shard that has to wait", p.w.Name(f.Aggregator))
		}
	}
	for steps := 0; p.m.View().Round == 0; steps++ {
		for _, k := range p.w.Aggs {
			next, least := uint32(0), uint32(manyShards)
			for _, d := range p.m.Duties(k.ID()) {
				if d, ok := d.(aggregate.DutySums); ok {
					next, least = max(next, d.Shard), min(least, d.Shard)
				}
			}
			if least < manyShards && next >= least+2*64 {
				t.Fatalf("%s is asked for sums of shards %d and %d at once", p.w.Name(k.ID()), least, next)
			}
		}
		before := len(p.records)
		if p.step(); len(p.records) == before {
			t.Fatalf("the run stands in %s after %d steps", p.m.Phase(), steps)
		}
	}
}

// Whatever aggregators log, sums take at most a quarter of what a snapshot may have, and one shard can always go on.
func TestSumsFitTheSnapshot(t *testing.T) {
	for aggregators := 1; aggregators <= protocol.MaxSigners; aggregators++ {
		for _, c := range []struct {
			contributors int
			gram         bool
		}{{1, true}, {20, true}, {509, true}, {1, false}, {protocol.MaxRoster, false}} {
			bytes, shards := aggregate.SumsAhead(aggregators, c.contributors, c.gram)
			if bytes > aggregate.MaxSnapshot/4 || shards < 1 || shards > 64 {
				t.Errorf("%d aggregators, %d contributors, inner products %v: %d bytes for %d shards", aggregators, c.contributors, c.gram, bytes, shards)
			}
		}
	}
}

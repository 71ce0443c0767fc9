package aggregate_test

import (
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// ownedScenarios are scenarios in which 3 of 5 aggregators own each of 3 shards.
var ownedScenarios = []scenario{
	{"shards have owners", fewOwners, func(p *play) {
		p.join(0, 1, 2)
		p.rounds(9, 0, 1, 2)
	}},
	{"owner dies while it gathers", fewOwners, func(p *play) {
		alive := p.untilPhase(aggregate.PhaseReveal)
		p.work(alive...) // what others own is attested to
		p.tick(1)
		p.tick(15) // half of deadlines.reveal: the next in order gather
		p.work(alive...)
		p.commit(0, 1, 2)
		p.work(alive...) // without another wait
		p.finish(alive...)
	}},
	{"owner dies while it merges", fewOwners, func(p *play) {
		alive := p.untilPhase(aggregate.PhaseMerge)
		p.work(alive...)
		p.tick(1)
		p.tick(30)
		p.work(alive...)
		p.commit(0, 1, 2)
		p.work() // it is back
		p.finish()
	}},
}

// untilPhase plays round 0 up to a phase, in which the first owner of shard 0 dies, and returns who is left.
func (p *play) untilPhase(at aggregate.Phase) (alive []int) {
	p.Helper()
	p.join(0, 1, 2)
	for p.m.Phase() != aggregate.PhaseTrain {
		p.step()
	}
	p.commit(0, 1, 2)
	for p.m.Phase() != at {
		p.step()
	}
	dead := protocol.OwnerOrder(p.w.Run, 0, p.w.Members())[0]
	for i, k := range p.w.Aggs {
		if k.ID() != dead {
			alive = append(alive, i)
		}
	}
	return alive
}

// finish lets deadlines pass until the run is over.
func (p *play) finish(aggs ...int) {
	p.Helper()
	for p.m.Phase() != aggregate.PhaseFinished {
		if p.tick(20); p.now > 300 {
			p.Fatalf("stuck in %s", p.m.Phase())
		}
		p.work(aggs...)
	}
}

// Golden transcripts of rounds in which shards have owners, as TestTranscripts has them of the others. Whoever dies, the
// statements are those of the undisturbed run.
func TestOwnedTranscripts(t *testing.T) {
	var calm []protocol.Digest
	for _, s := range ownedScenarios {
		t.Run(s.name, func(t *testing.T) {
			p := newPlayOf(t, 3, s.change)
			s.play(p)
			p.golden(t)
			if calm == nil {
				calm = chainOf(p)
			}
			if !slices.Equal(chainOf(p), calm) {
				t.Error("the chain differs from the undisturbed run's")
			}
		})
	}
}

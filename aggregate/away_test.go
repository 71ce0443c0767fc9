package aggregate_test

import (
	"testing"

	"drystone/protocol"
)

// An aggregator that dies costs the run one check deadline, not one per round: once it was late, no check falls on it first
// until it is heard of again.
func TestDeadVerifierStallsOnce(t *testing.T) {
	p := newPlay(t, func(s *protocol.RunSpec) { s.Train.Rounds, s.Payout.EpochRounds = 12, 3 })
	alive := []int{1, 2, 3}
	p.join(0, 1, 2)
	p.work(alive...)
	deadlines := 0
	for range 100 {
		v := p.m.View()
		if v.Round >= 10 {
			break
		}
		if v.Phase.String() == "train" {
			p.commitRostered(0, 1, 2)
		} else { // only a deadline helps
			deadlines++
			p.tick(1)
			p.tick(20)
		}
		p.work(alive...)
	}
	if v := p.m.View(); v.Round < 10 || deadlines != 1 {
		t.Errorf("%d check deadlines until round %d, want 1 until round 10", deadlines, v.Round)
	}
	dead := p.w.Aggs[0].ID()
	p.work() // it is back and signs again
	p.rounds(12, 0, 1, 2)
	checks := 0
	for _, a := range p.m.View().Aggregators {
		if a.ID == dead {
			checks = int(a.Checks)
		}
	}
	if checks == 0 {
		t.Error("an aggregator that is back gets no checks")
	}
}

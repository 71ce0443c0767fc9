package node

import (
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// Round timings are the own clock's around phase changes, of rounds seen from their Open on as they happened, and of the last
// ones alone.
func TestTimings(t *testing.T) {
	now := time.Unix(1, 0)
	var w timings
	statement := func(k protocol.Kind, round uint32) []protocol.SignedStatement {
		return []protocol.SignedStatement{{Statement: protocol.Statement{Kind: k, Round: round}}}
	}
	// step lets a second pass and enters a phase.
	step := func(p aggregate.Phase, certified uint32, final []protocol.SignedStatement) {
		now = now.Add(time.Second)
		w.note(&aggregate.Effects{Entered: []aggregate.Phase{p}, Final: final}, now, certified, nil)
	}
	phases := func(n, certified uint32) {
		step(aggregate.PhaseFreezing, certified, nil)
		step(aggregate.PhaseReveal, certified, statement(protocol.KindFreeze, n))
		step(aggregate.PhaseRevealing, certified, nil)
		step(aggregate.PhaseMerge, certified, nil)
		step(aggregate.PhaseWaiting, certified, statement(protocol.KindCertificate, n))
	}
	round := func(n, certified uint32) {
		step(aggregate.PhaseOpening, certified, nil)
		step(aggregate.PhaseTrain, certified, statement(protocol.KindOpen, n))
		phases(n, certified)
	}
	w.begin(2)
	step(aggregate.PhaseWaiting, 2, nil)
	round(0, 2) // two rounds again from the own log
	round(1, 2)
	if _, got := w.read(now); len(got) != 0 {
		t.Errorf("rounds before the start are timed: %+v", got)
	}
	step(aggregate.PhasePaused, 2, nil)
	step(aggregate.PhaseWaiting, 2, nil)
	round(2, 2)
	round(3, 5) // the chain had it already: it comes late
	in, got := w.read(now.Add(500 * time.Millisecond))
	if len(got) != 1 || got[0].Round != 2 || in != 0.5 {
		t.Fatalf("timed %+v, %g s in the phase; want round 2 alone, 0.5 s", got, in)
	}
	want := map[string]float64{"waiting": 2, "paused": 1, "opening": 1, "train": 1, "freezing": 1, "reveal": 1, "revealing": 1, "merge": 1}
	for phase, s := range want {
		if got[0].Seconds[phase] != s {
			t.Errorf("%s took %g s, want %g", phase, got[0].Seconds[phase], s)
		}
	}
	if len(got[0].Seconds) != len(want) || got[0].Total() != 9 {
		t.Errorf("timings %+v", got[0])
	}
	step(aggregate.PhaseOpening, 5, nil)
	step(aggregate.PhaseTrain, 5, statement(protocol.KindOpen, 5))
	w.restored()
	phases(5, 5)
	if _, got := w.read(now); len(got) != 1 {
		t.Errorf("a round that a snapshot jumped into is timed: %+v", got[1:])
	}
	for n := range uint32(100) {
		round(6+n, 6+n)
	}
	if _, got = w.read(now); len(got) != keptTimings || got[0].Round != 106-keptTimings || got[keptTimings-1].Round != 105 {
		t.Errorf("%d rounds kept, %d to %d", len(got), got[0].Round, got[len(got)-1].Round)
	}
}

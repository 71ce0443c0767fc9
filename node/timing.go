package node

import (
	"maps"
	"sync"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// RoundTiming is how long the phases of a certified round lasted by one aggregator's own clock. A round that it caught up
// on looks shorter than it was.
type RoundTiming struct {
	Round   uint32             `json:"round"`
	Seconds map[string]float64 `json:"seconds"` // by phase; what preceded the Open counts for the round
	Tokens  uint64             `json:"tokens"`  // that the contributors of the RevealSet read, whatever share they trained
}

// Total is the time from the Certificate before to this round's.
func (r RoundTiming) Total() (seconds float64) {
	for _, s := range r.Seconds {
		seconds += s
	}
	return seconds
}

// keptTimings is how many rounds' timings an aggregator remembers.
const keptTimings = 16

// timings measures phases. It is safe for concurrent use.
type timings struct {
	mu     sync.Mutex
	phase  aggregate.Phase
	since  time.Time // when the phase began; zero before the first change that this process saw
	now    RoundTiming
	rounds []RoundTiming     // the latest keptTimings, ascending
	leaves map[string]uint64 // that this process saw logged, by type
}

// note takes in one record's effects at a time. tokens says how many tokens a RevealSet stands for.
func (t *timings) note(e *aggregate.Effects, now time.Time, tokens func(*protocol.RevealSet) uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leaves == nil {
		t.leaves = map[string]uint64{}
	}
	for _, leaf := range e.Leaves {
		if kind, _, err := aggregate.DecodeRecord(leaf); err == nil {
			t.leaves[kind.String()]++
		}
	}
	for _, p := range e.Entered {
		if !t.since.IsZero() {
			if t.now.Seconds == nil {
				t.now.Seconds = map[string]float64{}
			}
			t.now.Seconds[t.phase.String()] += now.Sub(t.since).Seconds()
		}
		t.phase, t.since = p, now
	}
	for i := range e.Final {
		s := &e.Final[i].Statement
		switch s.Kind {
		case protocol.KindRevealSet:
			if set, err := protocol.DecodeBody[protocol.RevealSet](s); err == nil {
				t.now.Tokens = tokens(set)
			}
		case protocol.KindCertificate:
			t.now.Round = s.Round
			if t.now.Seconds != nil {
				t.rounds = append(t.rounds, t.now)
				t.rounds = t.rounds[max(0, len(t.rounds)-keptTimings):]
			}
			t.now = RoundTiming{}
		}
	}
}

// read returns how long the present phase has lasted, 0 if its beginning was not seen, and the latest rounds.
func (t *timings) read(now time.Time) (inPhase float64, rounds []RoundTiming) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.since.IsZero() {
		inPhase = now.Sub(t.since).Seconds()
	}
	return inPhase, append(rounds, t.rounds...)
}

// records returns how many leaves of each type this process saw logged.
func (t *timings) records() map[string]uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.leaves)
}

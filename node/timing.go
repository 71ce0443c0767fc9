package node

import (
	"maps"
	"sync"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// RoundTiming is how long the phases of a certified round lasted by one aggregator's own clock. Rounds that it did not
// see from their Open on as they happened are left out: who comes back applies what it missed at once.
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
const keptTimings = 32

// timings measures phases. It is safe for concurrent use.
type timings struct {
	mu     sync.Mutex
	from   uint32 // earlier rounds were open already when this process began
	live   bool   // the round under way was seen from its Open on
	phase  aggregate.Phase
	since  time.Time // when the phase began; zero before the first change that this process saw
	now    RoundTiming
	rounds []RoundTiming     // the latest keptTimings, ascending
	leaves map[string]uint64 // that this process saw logged, by type
}

// begin says how many rounds the statement chain has opened when the process begins.
func (t *timings) begin(opened uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from = opened
}

// restored forgets the round under way: the state jumped to a snapshot.
func (t *timings) restored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live, t.since, t.now = false, time.Time{}, RoundTiming{}
}

// note takes in one record's effects at a time. certified is how many rounds the statement chain had certified before it,
// which tells records that come late; tokens says how many tokens a RevealSet stands for.
func (t *timings) note(e *aggregate.Effects, now time.Time, certified uint32, tokens func(*protocol.RevealSet) uint64) {
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
		case protocol.KindOpen:
			t.live = s.Round >= max(t.from, certified)
		case protocol.KindRevealSet:
			if set, err := protocol.DecodeBody[protocol.RevealSet](s); err == nil {
				t.now.Tokens = tokens(set)
			}
		case protocol.KindCertificate:
			t.now.Round = s.Round
			if t.live {
				t.rounds = append(t.rounds, t.now)
				t.rounds = t.rounds[max(0, len(t.rounds)-keptTimings):]
			}
			t.now, t.live = RoundTiming{}, false
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

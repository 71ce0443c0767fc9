package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drystone/aggregate"
)

// pausedEvery is how often a trainer that waits for an Open asks why.
const pausedEvery = 10 * time.Second

// watchPause tells a person who waits for the next round that the founder paused the run, and when it goes on. A pause is
// no statement, so this is the word of enough aggregators for one of them to be honest.
func (t *Trainer) watchPause(ctx context.Context) {
	said, last := false, uint64(0)
	for waitFor(ctx, pausedEvery) && !t.history.ended() && t.history.rounds() < t.spec.Train.Rounds {
		n := t.history.length()
		still := n == last && !t.history.underWay()
		last = n
		paused := still && t.paused(ctx)
		if paused == said {
			continue
		}
		said = paused
		text := "the run goes on"
		if paused {
			text = "paused by the founder; training goes on when it is resumed"
		}
		t.emit(Event{Kind: EventPaused, Round: t.history.rounds(), Peer: t.cfg.Key.ID(), Text: text})
	}
}

// paused asks aggregators until enough of them say that the run is paused, or one says that it is not.
func (t *Trainer) paused(ctx context.Context) bool {
	say := 0
	for _, p := range t.councilPeers() {
		data, err := t.callFor(ctx, 20*time.Second, p, callStatus, nil, maxStatus)
		var s Status
		if err == nil {
			err = json.Unmarshal(data, &s)
		}
		if err != nil {
			t.cfg.Log.Debug("status", "aggregator", p.Short(), "err", fmt.Errorf("is the run paused: %w", err))
			continue
		}
		if s.View.Phase != aggregate.PhasePaused {
			return false
		}
		if say++; say >= t.witnesses() {
			return true
		}
	}
	return false
}

package node

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"drystone/protocol"
)

// docs/protocol.md, "Delay": a run over real sockets in which everyone trains from the state one merge older, half the peers
// a part of the shards, and states go down encoded. Spot checks pass the honest and convict the cheat; proofs audit with replay
// and merge; the run ends in the same state when it is played again, on another number of threads.
func TestDelayedRun(t *testing.T) {
	const (
		rounds       = 6
		cheat, first = 3, 2
	)
	var models []protocol.Digest
	for threads := 1; threads <= 2; threads++ {
		t.Run(fmt.Sprintf("%d threads", threads), func(t *testing.T) {
			cfg := partialConfig(t, 31, rounds, func(i int, round uint32) bool { return i == cheat && round >= first })
			cfg.Spec.Train.Delay, cfg.Threads = 1, threads
			cfg.Spec.Codec.Down, cfg.Spec.Codec.DownTopK, cfg.Spec.Codec.DownValueBits, cfg.Spec.Codec.DownDecay = "rice", 512, 4, 1
			l := runLocal(t, cfg)
			models = append(models, l.Aggregators[0].View().Model)
			if threads > 1 {
				return
			}
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			defer cancel()
			checkConviction(t, l, cheat, first, rounds)
			checkProofs(t, ctx, l, cfg, cheat, first, rounds)
			checkStarts(t, l, rounds)
		})
	}
	if len(models) == 2 && models[0] != models[1] {
		t.Errorf("ModelRoot %s, played again %s", models[0], models[1])
	}
}

// checkStarts: a round trains from what the round before merges into, by the roster that was announced for it.
func checkStarts(t *testing.T, l *Local, rounds uint32) {
	h := l.Aggregators[0].history
	for round := range rounds {
		open, _, err := statementOf[protocol.Open](h, protocol.KindOpen, round)
		if err != nil {
			t.Fatal(err)
		}
		want, _, err := h.modelRoot(round - min(round, 1))
		if err != nil || open.From() != want {
			t.Errorf("round %d trains from %s, want %s (%v)", round, open.From().Short(), want.Short(), err)
		}
		if round == 0 {
			continue
		}
		before, _, err := statementOf[protocol.Open](h, protocol.KindOpen, round-1)
		if err != nil {
			t.Fatal(err)
		}
		if roster, capacity := before.Next(); !slices.Equal(roster, open.Roster) || !slices.Equal(capacity, open.Capacity) {
			t.Errorf("round %d has another roster than was announced", round)
		}
	}
}

// A peer trains the next round while this one is still open: here round 1 does not end before somebody has trained round 2,
// since one trainer holds its commit back until then. And whoever joins meanwhile trains from the round after the next on.
func TestTrainsAhead(t *testing.T) {
	const rounds = 5
	cfg := tinyConfig(t, 32, rounds, 2, nil)
	cfg.Spec.Train.Delay = 1
	slow := cfg.Trainers[1].Key.ID()
	ahead, joined := make(chan struct{}), make(chan struct{})
	cfg.OnEvent = func(e Event) {
		switch {
		case e.Peer == cfg.Trainers[0].Key.ID() && e.Kind == EventTrained && e.Round == 2:
			close(ahead)
		case e.Peer == slow && e.Kind == EventOpen && e.Round == 1:
			<-ahead
			<-joined
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	eventually(t, ctx, l.Aggregators[0].history, protocol.KindOpen, 1)
	late, err := OpenTrainer(ctx, TrainerConfig{Config: Config{Key: protocol.DeriveKey(32, "late"), Dir: filepath.Join(cfg.Dir, "late"), Device: l.Device, Log: cfg.Log}}, l.Link)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	close(joined) // it is in the log, in round 1
	awaitFinished(t, ctx, l.Aggregators[0])
	for _, p := range l.Aggregators[0].View().Peers {
		want := uint32(rounds)
		if p.ID == late.ID() {
			want = rounds - 3
		}
		if p.Rounds != want || p.Misses != 0 {
			t.Errorf("peer %s: %d rounds and %d misses, want %d and none", p.ID.Short(), p.Rounds, p.Misses, want)
		}
	}
}

package node

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"testing"

	"drystone/protocol"
)

// eventually waits until a statement of the given kind and round is in a history.
func eventually(t *testing.T, ctx context.Context, h *history, kind protocol.Kind, round uint32) {
	t.Helper()
	for {
		more := h.wait()
		if h.find(kind, round) != nil {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("no %s of round %d in time", kind, round)
		}
	}
}

// A trainer that is stopped at any point and started again with its directory goes on where it was: nothing that it
// committed is lost, no round is trained twice, and it is paid for every round. The round waits for it meanwhile.
func TestTrainerRestarts(t *testing.T) {
	for delay := range uint32(2) {
		t.Run(fmt.Sprint("delay ", delay), func(t *testing.T) { trainerRestarts(t, delay) })
	}
}

func trainerRestarts(t *testing.T, delay uint32) {
	const rounds = 8
	cfg := tinyConfig(t, 5, rounds, 1, nil)
	cfg.Spec.Train.Delay = delay
	cfg.Spec.Aggregate.StartPeers = 2
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tc := TrainerConfig{Config: Config{Key: protocol.DeriveKey(5, "restarts"), Dir: filepath.Join(cfg.Dir, "restarts"), Device: l.Device, Log: cfg.Log}}
	founder := l.Aggregators[0]
	// It stops upon: its commit, a frozen round, its reveal, a certified round.
	for i, at := range []EventKind{EventTrained, EventCommitted, EventRevealed, EventOpen} {
		seen := make(chan struct{}, 1)
		c := tc
		c.OnEvent = func(e Event) {
			if e.Kind == at {
				select {
				case seen <- struct{}{}:
				default:
				}
			}
		}
		tr, err := OpenTrainer(ctx, c, l.Link)
		if err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		select {
		case <-seen:
		case <-ctx.Done():
			t.Fatalf("no event %s", at)
		}
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
		if err := tr.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	}
	tr, err := OpenTrainer(ctx, tc, l.Link)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	awaitFinished(t, ctx, founder)
	for _, p := range founder.View().Peers {
		if p.Convicted || p.Rounds != rounds {
			t.Errorf("peer %s: convicted %v, %d rounds, want %d", p.ID.Short(), p.Convicted, p.Rounds, rounds)
		}
	}
	c, err := Dial(ctx, l.Link, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Claim(ctx, tr.Payout()); err != nil {
		t.Fatal(err)
	}
	units := uint64(rounds) * uint64(l.spec.Train.Steps) * l.spec.TokensPerStep() * l.spec.Payout.PerMillion
	want := new(big.Int).Div(new(big.Int).Mul(tokens(1), new(big.Int).SetUint64(units)), big.NewInt(1e6))
	if got, err := c.Balance(ctx, tr.Payout()); err != nil || got.Cmp(want) != 0 {
		t.Errorf("balance %s, %v, want %s", got, err, want)
	}
	// Over is over: joining again ends at once.
	late, err := OpenTrainer(ctx, TrainerConfig{Config: Config{Key: protocol.DeriveKey(5, "late"), Dir: filepath.Join(cfg.Dir, "late"), Device: l.Device}}, l.Link)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	if <-late.Finished(); late.Err() != nil {
		t.Error(late.Err())
	}
}

// A convicted trainer is told so and stops; starting it again does not help.
func TestConvictedTrainerStops(t *testing.T) {
	cfg := tinyConfig(t, 6, 64, 2, func(i int, round uint32) bool { return i == 1 }) // more rounds than go by meanwhile
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cheat := l.Trainers[1]
	select {
	case <-cheat.Finished():
	case <-ctx.Done():
		t.Fatal("the cheat goes on")
	}
	if !errors.Is(cheat.Err(), ErrConvicted) {
		t.Errorf("it ended with %v, want %v", cheat.Err(), ErrConvicted)
	}
	if err := cheat.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := OpenTrainer(ctx, TrainerConfig{Config: Config{Key: cfg.Trainers[1].Key, Dir: filepath.Join(cfg.Dir, "trainer-1"), Device: l.Device}}, l.Link)
	if err == nil {
		again.Close()
	}
	if !errors.Is(err, ErrConvicted) {
		t.Errorf("started again: %v, want %v", err, ErrConvicted)
	}
}

// An aggregator that is stopped in mid-run and started again with its directory catches up, and so does a ledger host,
// whose chain then has every epoch that was settled meanwhile. The run has a way down: once the second is stopped the first one's
// merges are needed, and so is the error feedback that the others had while it was away.
func TestAggregatorRestarts(t *testing.T) {
	const rounds = 8
	cfg := tinyConfig(t, 7, rounds, 2, nil)
	withDown(&cfg.Spec)
	cfg.Spec.Deadlines.Check = 8 // what the stopped one owes passes on
	cfg.Spec.Payout.EpochCap = 1 // an epoch earns 0.512: two at once would be above the contract's cap
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { l.Close() }()
	watch := l.Aggregators[1]
	for _, x := range []struct {
		i    int
		from uint32
	}{{0, 1}, {2, 6}} {
		i, from := x.i, x.from
		eventually(t, ctx, watch.history, protocol.KindCertificate, from-1)
		if err := l.Aggregators[i].Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Aggregators[i].Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if i == 0 { // long enough that epochs are settled without their chain
			eventually(t, ctx, watch.history, protocol.KindOpen, from+4)
		}
		c := Config{Key: cfg.Aggregators[i], Dir: filepath.Join(cfg.Dir, fmt.Sprintf("aggregator-%d", i)), Device: l.Device, Log: cfg.Log}
		if l.Aggregators[i], err = OpenAggregator(ctx, c, l.Link, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range l.Aggregators {
		awaitFinished(t, ctx, a)
		if a.View().Model != watch.View().Model || a.history.length() != 1+4*rounds {
			t.Errorf("an aggregator ends with state %s after %d statements", a.View().Model, a.history.length())
		}
	}
	if last, err := l.Aggregators[0].bank.settled(ctx); err != nil || last != rounds/2 {
		t.Errorf("epoch %d stands on the chain, %v, want %d", last, err, rounds/2)
	}
}

package node

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"drystone/internal/exact"
	"drystone/protocol"
)

// testCard is a card that computes on the processor and fails when a test says so.
type testCard struct {
	*exact.Engine
	wrong bool
	lost  *atomic.Bool
}

func (c *testCard) Path() string { return "cuda:0" }

func (c *testCard) Wait() error {
	if c.lost.Load() {
		return &exact.DeviceError{Err: errors.New("the card fell off the bus")}
	}
	return nil
}

func (c *testCard) Add(y, a, b []float32) {
	c.Engine.Add(y, a, b)
	if c.wrong {
		y[0]++
	}
}

// A card that computes wrongly is refused at the join, before the peer asks for a place. One that is lost costs the round
// that it is lost in, and no other: the peer goes on on the processor.
func TestCardOfATrainer(t *testing.T) {
	cfg := tinyConfig(t, 78, 4, 2, nil)
	cfg.Spec.Deadlines.Train = 10 // of the round that is left out
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	key := protocol.DeriveKey(78, "trainer/1")
	cfg.Trainers = cfg.Trainers[:1]
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var lost atomic.Bool
	open := func(wrong bool) func() (exact.Kernels, error) {
		return func() (exact.Kernels, error) {
			e, err := exact.New(1)
			return &testCard{e, wrong, &lost}, err
		}
	}
	rec := &recorder{}
	tc := TrainerConfig{Config: Config{Key: key, Dir: filepath.Join(t.TempDir(), "card"), Log: cfg.Log}}
	tc.OnEvent = func(e Event) {
		rec.event(e)
		if e.Kind == EventStep && e.Round == 0 {
			lost.Store(true)
		}
	}
	tc.OpenCard = open(true)
	if _, err := OpenTrainer(ctx, tc, l.Link); !errors.Is(err, exact.ErrWrong) || !strings.Contains(err.Error(), "cuda:0") {
		t.Fatalf("a wrong card: %v", err)
	}
	tc.OpenCard = open(false)
	tr, err := OpenTrainer(ctx, tc, l.Link)
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	awaitFinished(t, ctx, l.Aggregators[0])
	var trained []uint32
	for _, e := range rec.of(EventTrained) {
		trained = append(trained, e.Round)
	}
	told := false
	for _, e := range rec.of(EventWarning) {
		told = told || strings.Contains(e.Text, "fell off the bus") && strings.Contains(e.Text, "goes on on the processor")
	}
	if !slices.Equal(trained, []uint32{1, 2, 3}) || !told {
		t.Errorf("trained rounds %v, the loss of the card was told: %t", trained, told)
	}
}

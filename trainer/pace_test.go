package trainer

import (
	"context"
	"errors"
	"testing"
)

// Steps wait for what paces them, pauses change no bit, and a pause ends with its context.
func TestPace(t *testing.T) {
	b := newBench(t, 1, nil)
	a := b.assignment(1, 7)
	want := b.train(t, a, b.options(1)).Root()

	asked, done := 0, 0
	b.Pace(func(context.Context) error {
		asked++
		if done != asked-1 {
			t.Errorf("asked %d times after %d steps", asked, done)
		}
		return nil
	})
	opt := b.options(1)
	opt.OnStep = func(uint32, float32) { done++ }
	if got := b.train(t, a, opt).Root(); got != want {
		t.Errorf("paced: trace root %v, want %v", got, want)
	}
	if asked != int(a.Steps) {
		t.Errorf("asked %d times for %d steps", asked, a.Steps)
	}

	paused, cancel := context.WithCancel(ctx)
	defer cancel()
	b.Pace(func(ctx context.Context) error { // leaves while paused
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	if _, err := b.Train(paused, a, b.theta, b.options(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	b.Pace(nil)
	if got := b.train(t, a, b.options(1)).Root(); got != want {
		t.Errorf("after a pause that was broken off: trace root %v, want %v", got, want)
	}
}

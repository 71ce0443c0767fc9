package node

import (
	"context"
	"fmt"

	"drystone/protocol"
	"drystone/trainer"
)

// ahead is the training of a round that is not open yet, from the state that the round before it opened with
// (docs/protocol.md, "Delay"). A goroutine fetches that state at once, waits for begin, trains, and closes done.
type ahead struct {
	turn chan struct{}
	done chan struct{}
	c    *trainer.Contribution // once done is closed, like err
	err  error
}

// begin lets the training start: the one before has left the Device. A nil ahead has nothing to start.
func (a *ahead) begin() {
	if a != nil {
		close(a.turn)
	}
}

// wait returns the contribution when it is there.
func (a *ahead) wait(ctx context.Context) (*trainer.Contribution, error) {
	select {
	case <-a.done:
		return a.c, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// prepare starts on the next round of an Open that announces this peer for it, and returns nil for one that does not. The
// caller calls begin once.
func (t *Trainer) prepare(open *protocol.Open, next uint32) *ahead {
	roster, capacity := open.Next()
	announced := protocol.Open{Roster: roster, Capacity: capacity}
	index := rosterIndex(&announced, t.cfg.Key.ID())
	if index < 0 {
		return nil
	}
	work := protocol.Assignment{Run: t.run, Round: next, Index: uint32(index), Steps: t.spec.Train.Steps,
		Shards: announced.Shards(&t.spec.Codec, t.params, next, index)}
	a := &ahead{turn: make(chan struct{}), done: make(chan struct{})}
	t.spawn(func(ctx context.Context) {
		defer close(a.done)
		c, err := t.resume(next)
		if err != nil {
			t.trouble(next, fmt.Errorf("the stored contribution cannot be read: %w", err))
		}
		if a.c = c; err != nil || c == nil {
			a.c, a.err = t.train(ctx, work, open.Model, a.turn)
		}
	})
	return a
}

// awaitFeedback is feedback once the RevealSet that tells is in the chain, as it is when a round opens.
func (t *Trainer) awaitFeedback(ctx context.Context, round uint32) ([]float32, error) {
	if round > 0 {
		if _, _, err := await[protocol.RevealSet](ctx, t.history, protocol.KindRevealSet, round-1); err != nil {
			return nil, err
		}
	}
	return t.feedback(round)
}

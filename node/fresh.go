package node

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// freshTimeout is how long one aggregator may take to answer what it has beyond our chain.
const freshTimeout = 10 * time.Second

// errStale means that too few aggregators have said that the statement chain known here is the newest.
var errStale = errors.New("the newest round is not confirmed")

// confirm asks all aggregators at once what they have beyond the chain known here, verifies and takes it, and returns when as
// many have answered as sign a statement. Every statement bears the signatures of that many, and two such sets have an honest
// aggregator in common: so the chain is then as new as the run was when we asked. Who can reach fewer may be shown a past of
// the run, however well signed, and gets errStale. The connections are authenticated, which makes the answers fresh.
func (m *member) confirm(ctx context.Context) error {
	council, _ := m.history.rules()
	if council == nil {
		return fmt.Errorf("%w: the run has no Genesis yet", errStale)
	}
	ctx, cancel := context.WithTimeout(ctx, freshTimeout)
	defer cancel()
	answers := make(chan error, len(council.Members))
	asked := 0
	for _, a := range council.Members {
		if a.ID == m.cfg.Key.ID() {
			continue
		}
		asked++
		m.spawn(func(context.Context) {
			_, err := m.catchUpFrom(ctx, a.ID)
			answers <- err
		})
	}
	good := 0
	var last error
	for range asked {
		if err := <-answers; err != nil {
			last = err
		} else if good++; good >= council.Threshold {
			return nil
		}
	}
	return fmt.Errorf("%w: %d of %d aggregators answer, %d must: %w", errStale, good, len(council.Members), council.Threshold, last)
}

// ready makes this peer able to train from the next Open on, before it asks for a place: it has the newest statements, as
// enough aggregators confirm, and the public state that they certify.
func (t *Trainer) ready(ctx context.Context) error {
	return retry(ctx, time.Second, func() error {
		if err := t.confirm(ctx); err != nil {
			t.emit(Event{Kind: EventWaiting, Text: err.Error()})
			return err
		}
		round := t.history.rounds()
		model, _, err := t.history.modelRoot(round)
		if err == nil {
			_, err = t.model(ctx, round, model, t.councilPeers)
		}
		if err != nil {
			return err
		}
		t.emit(Event{Kind: EventReady, Round: round, Peer: t.cfg.Key.ID(), Text: "ready for the next round"})
		return nil
	})
}

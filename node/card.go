package node

import (
	"context"
	"errors"
	"fmt"

	"drystone/trainer"
)

// Rounds of the self-check: a processor that computes wrongly does so always, a card now and then.
const (
	checkRounds     = 1
	checkRoundsCard = 100
)

// openDevice checks the own device before it can lose anything, and moves its steps to the card if there is one to be used.
// The error wraps exact.ErrWrong if the processor, or a card that was asked for, computes wrongly.
func (t *Trainer) openDevice(ctx context.Context) error {
	if !t.ownDevice {
		return nil
	}
	if err := t.device.SelfCheck(ctx, checkRounds); err != nil {
		return fmt.Errorf("self-check: %w", err)
	}
	if t.cfg.OpenCard == nil {
		return nil
	}
	err := t.toCard(ctx)
	if err == nil || !t.cfg.CardOptional || ctx.Err() != nil {
		return err
	}
	t.cardFailed(t.history.rounds(), err)
	return nil
}

// toCard opens the card, checks it, and moves steps to it. After an error they run on the processor.
func (t *Trainer) toCard(ctx context.Context) error {
	card, err := t.cfg.OpenCard()
	if err != nil {
		return err
	}
	if err := t.device.To(card); err != nil {
		return err
	}
	if err := t.device.SelfCheck(ctx, checkRoundsCard); err != nil {
		t.device.ToProcessor()
		return fmt.Errorf("self-check: %w", err)
	}
	t.onCard = true
	return nil
}

// awaitCard moves steps back to a card that was lost, if that is waited for. Its error wraps errSitOut.
func (t *Trainer) awaitCard(ctx context.Context) error {
	if t.onCard || t.cfg.OpenCard == nil || !t.cfg.AwaitCard || !t.ownDevice {
		return nil
	}
	if err := t.toCard(ctx); err != nil {
		return fmt.Errorf("%w: waiting for the card: %w", errSitOut, err)
	}
	return nil
}

// cardFailed tells of a card that does not work and moves steps to the processor.
func (t *Trainer) cardFailed(round uint32, err error) {
	t.onCard = false
	t.device.ToProcessor()
	then := "training goes on on the processor"
	if t.cfg.AwaitCard {
		then = "rounds are left out until it works again"
	}
	t.trouble(round, fmt.Errorf("%w; %s", err, then))
}

// deviceFailed reports whether err is the card's, after which the round is left out. It moves steps to the processor.
func (t *Trainer) deviceFailed(round uint32, err error) bool {
	if !t.onCard || !errors.Is(err, trainer.ErrDevice) {
		return false
	}
	t.cardFailed(round, err)
	return true
}

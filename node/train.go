package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drystone/protocol"
	"drystone/trainer"
)

// work follows the statement chain round by round until the run is over.
func (t *Trainer) work(ctx context.Context) {
	defer close(t.finished)
	t.reviewReceipts()
	for round := t.history.rounds(); round < t.spec.Train.Rounds; round++ {
		if err := t.round(ctx, round); errors.Is(err, errEnded) {
			t.emit(Event{Kind: EventFinished, Round: round, Peer: t.cfg.Key.ID(), Text: fmt.Sprintf("the founder stopped the run after %d rounds", round)})
			return
		} else if err != nil {
			if ctx.Err() == nil {
				t.err = fmt.Errorf("round %d: %w", round, err)
				t.emit(Event{Kind: EventWarning, Round: round, Peer: t.cfg.Key.ID(), Text: t.err.Error()})
			}
			return
		}
	}
	t.emit(Event{Kind: EventFinished, Round: t.spec.Train.Rounds, Peer: t.cfg.Key.ID(), Text: "the last round is certified"})
}

// await waits until the chain holds the statement of a round. It returns errEnded if an End comes in its place.
func await[T protocol.StatementBody](ctx context.Context, h *history, kind protocol.Kind, round uint32) (*T, *protocol.SignedStatement, error) {
	for {
		more := h.wait()
		if b, s, err := statementOf[T](h, kind, round); s != nil || errors.Is(err, errEnded) {
			return b, s, err
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// round takes part in one round, if the Open's roster has this peer, and waits for its Certificate. With a delay it begins the
// next round as soon as this one is trained.
func (t *Trainer) round(ctx context.Context, round uint32) error {
	open, st, err := await[protocol.Open](ctx, t.history, protocol.KindOpen, round)
	if err != nil {
		return err
	}
	t.sayIfFew(&st.Statement)
	mine := t.ahead // what was begun before the round opened, nil for nothing
	t.ahead = t.prepare(open, round+1)
	index := rosterIndex(open, t.cfg.Key.ID())
	switch {
	case index >= 0:
		t.emit(Event{Kind: EventOpen, Round: round, Peer: t.cfg.Key.ID()})
		if err := t.contribute(ctx, open, st, uint32(index), mine); err != nil {
			return err
		}
	case t.ahead == nil:
		if err := t.unrostered(ctx, round); err != nil {
			return err
		}
	default:
		t.ahead.begin()
	}
	cert, _, err := await[protocol.Certificate](ctx, t.history, protocol.KindCertificate, round)
	if err != nil || round+1 == t.spec.Train.Rounds || t.spec.Train.Delay > 0 { // a delayed round does not wait for the state
		return err
	}
	if _, err := t.model(ctx, round+1, cert.Model, t.councilPeers); err != nil && ctx.Err() == nil {
		t.cfg.Log.Debug("the next state is fetched once more when its round opens", "round", round+1, "err", err)
	}
	return nil
}

// contribute trains, commits and reveals, unless the round closes before the commit is in, or this peer has to sit it out.
func (t *Trainer) contribute(ctx context.Context, open *protocol.Open, st *protocol.SignedStatement, index uint32, mine *ahead) error {
	c, err := t.contribution(ctx, open, st.Statement.Round, index, mine)
	t.ahead.begin()
	if errors.Is(err, errSitOut) {
		t.trouble(st.Statement.Round, err)
		return nil
	}
	if err != nil || c == nil {
		return err
	}
	if !t.frozen(st.Statement.Round) {
		if err := t.commit(ctx, protocol.Sign(t.cfg.Key, c.Commit(st.Statement.Digest()))); err != nil {
			return err
		}
	}
	return t.reveal(ctx, st.Statement.Round, c)
}

// contribution returns what this peer trains in an open round: what was begun before it opened, what a process before this
// one stored, or what it trains now. It returns nil if it has nothing and the round is closed.
func (t *Trainer) contribution(ctx context.Context, open *protocol.Open, round, index uint32, mine *ahead) (*trainer.Contribution, error) {
	a := protocol.Assignment{Run: t.run, Round: round, Index: index, Steps: t.spec.Train.Steps,
		Shards: open.Shards(&t.spec.Codec, t.params, round, int(index))}
	if mine != nil {
		return mine.wait(ctx)
	}
	c, err := t.resume(round)
	if err != nil { // training again gives the same to the bit
		t.trouble(round, fmt.Errorf("the stored contribution cannot be read: %w", err))
		c = nil
	}
	if c != nil || t.frozen(round) {
		return c, nil
	}
	return t.train(ctx, a, open.From(), nil)
}

// errSitOut means that this peer cannot take part in a round; it can in the next.
var errSitOut = errors.New("this round is left out")

// trouble tells of what costs at most a round.
func (t *Trainer) trouble(round uint32, err error) {
	t.emit(Event{Kind: EventWarning, Round: round, Peer: t.cfg.Key.ID(), Text: fmt.Sprintf("round %d: %v", round, err)})
}

func (t *Trainer) frozen(round uint32) bool {
	return t.history.find(protocol.KindFreeze, round) != nil
}

// theta fetches the public state, trying until the round is frozen.
func (t *Trainer) theta(ctx context.Context, round uint32, root protocol.Digest) (theta []float32, err error) {
	var last error
	of := round - min(round, t.spec.Train.Delay) // whose public state it is
	err = retry(ctx, time.Second, func() error {
		if theta, last = t.model(ctx, of, root, t.councilPeers); last != nil && t.frozen(round) {
			return nil
		}
		return last
	})
	if err == nil && last != nil {
		err = fmt.Errorf("%w: %w", errSitOut, last)
	}
	return theta, err
}

// resume loads a contribution that was stored before a restart; nil if there is none.
func (t *Trainer) resume(round uint32) (*trainer.Contribution, error) {
	c, err := t.store.Load(round)
	if errors.Is(err, trainer.ErrNoContribution) {
		return nil, nil
	}
	return c, err
}

// train computes the assigned steps from the public state of that root and stores the result before anyone hears of it. If
// turn is not nil it fetches the state first and waits for turn to be closed.
func (t *Trainer) train(ctx context.Context, a protocol.Assignment, root protocol.Digest, turn <-chan struct{}) (*trainer.Contribution, error) {
	if err := t.capacity.admits(len(a.Shards)); err != nil {
		return nil, fmt.Errorf("%w: %w", errSitOut, err)
	}
	theta, err := t.theta(ctx, a.Round, root)
	if err != nil {
		return nil, err
	}
	if turn != nil {
		select {
		case <-turn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err := t.awaitCard(ctx); err != nil {
		return nil, err
	}
	self := t.cfg.Key.ID()
	per, last := t.spec.TokensPerStep(), float32(0)
	trained := func() {
		if t.cfg.trained != nil {
			t.cfg.trained()
		}
		t.emit(Event{Kind: EventTrained, Round: a.Round, Peer: self, Step: a.Steps, Loss: float64(last), Count: t.spec.Tokens(a.Steps, t.params, a.Shards)})
	}
	opt := trainer.TrainOptions{Peer: self, Salt: trainer.KeySalt(t.cfg.Key, t.run, a.Round), Store: t.store}
	opt.OnStep = func(step uint32, loss float32) {
		last = loss
		t.emit(Event{Kind: EventStep, Round: a.Round, Peer: self, Step: step + 1, Loss: float64(loss), Count: uint64(step+1) * per})
	}
	cheats := t.cheat != nil && t.cheat(a.Round)
	if t.spec.Train.Delay > 0 && !cheats {
		opt.Await = func(ctx context.Context) ([]float32, error) {
			trained()
			return t.awaitFeedback(ctx, a.Round)
		}
		return t.onDevice(ctx, a, theta, opt)
	}
	if opt.Feedback, err = t.awaitFeedback(ctx, a.Round); err != nil {
		return nil, err
	}
	if cheats {
		return trainer.Fabricate(t.spec, a, theta, opt, t.spec.Seed)
	}
	c, err := t.onDevice(ctx, a, theta, opt)
	if err == nil {
		trained()
	}
	return c, err
}

// onDevice trains, and leaves a card that fails: then this peer sits the round out.
func (t *Trainer) onDevice(ctx context.Context, a protocol.Assignment, theta []float32, opt trainer.TrainOptions) (*trainer.Contribution, error) {
	c, err := t.device.Train(ctx, a, theta, opt)
	if t.deviceFailed(a.Round, err) {
		return nil, fmt.Errorf("%w: the card failed", errSitOut)
	}
	return c, err
}

// feedback returns the error feedback that a contribution stands on: that of the round before if its RevealSet holds this
// peer, else nil.
func (t *Trainer) feedback(round uint32) ([]float32, error) {
	if round == 0 {
		return nil, nil
	}
	set, _, err := statementOf[protocol.RevealSet](t.history, protocol.KindRevealSet, round-1)
	if err != nil {
		return nil, err
	}
	for _, r := range set.Set {
		if r.Peer != t.cfg.Key.ID() || r.Feedback.IsZero() {
			continue
		}
		c, err := t.store.Load(round - 1)
		if err != nil {
			return nil, fmt.Errorf("%w: the error feedback of round %d is needed and not in %s: %w", errSitOut, round-1, t.cfg.Dir, err)
		}
		return c.After, nil
	}
	return nil, nil
}

// commit publishes the commit and gets receipts for it, trying until the round is frozen.
func (t *Trainer) commit(ctx context.Context, commit protocol.Signed[protocol.Commit]) error {
	if err := t.commits.Publish(ctx, commit.Encode()); err != nil && ctx.Err() == nil {
		t.cfg.Log.Debug("publish commit", "err", err)
	}
	n, err := t.place(ctx, commit.Body.Round, commit)
	if err == nil {
		t.emit(Event{Kind: EventCommitted, Round: commit.Body.Round, Peer: t.cfg.Key.ID(), Step: commit.Body.Steps, Count: uint64(n)})
	}
	return err
}

// reveal publishes every assigned shard once the Freeze holds this peer's commit.
func (t *Trainer) reveal(ctx context.Context, round uint32, c *trainer.Contribution) error {
	freeze, st, err := await[protocol.Freeze](ctx, t.history, protocol.KindFreeze, round)
	if err != nil {
		return err
	}
	leaves := make([]protocol.Digest, len(freeze.Commits))
	at := -1
	for i, f := range freeze.Commits {
		leaves[i] = protocol.FrozenLeaf(f.Commit)
		if f.Peer == t.cfg.Key.ID() {
			at = i
		}
	}
	if at < 0 {
		t.leftOut(round, protocol.Sign(t.cfg.Key, c.Commit(st.Statement.Prev)))
		return nil
	}
	t.forgetReceipts(round)
	path := protocol.PathTo(leaves, at)
	var sent uint64
	for i := range c.Payloads {
		shard := protocol.ShardAt(c.Assignment.Shards, i)
		r, err := c.Reveal(uint32(shard), path)
		if err != nil {
			return err
		}
		data := r.Encode()
		if err := t.reveals.put(r, data); err != nil {
			return err
		}
		sent += uint64(len(data))
		if err := t.shards[shard].Publish(ctx, data); err != nil && ctx.Err() == nil {
			t.cfg.Log.Warn("publish shard", "round", round, "shard", shard, "err", err) // aggregators will ask for it
		}
	}
	t.emit(Event{Kind: EventRevealed, Round: round, Peer: t.cfg.Key.ID(), Count: sent})
	return nil
}

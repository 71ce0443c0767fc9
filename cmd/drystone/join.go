package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drystone/node"
	"drystone/protocol"
	"drystone/trainer"
)

type joinCmd struct {
	Link string `arg:"" help:"Run link."`
	roleFlags
	cardFlags
	Payout string `help:"Account that earnings go to, 0x...; may be a cold wallet. Default: the key's own."`
	Shards uint32 `help:"Train only so many shards of the model each round, where the run admits it; default all." xor:"share"`
	Memory string `help:"Train as many shards as fit into so much memory, such as 2GB or 1.5GiB." xor:"share"`
	JSON   bool   `help:"Print one JSON object at the end."`
}

// joinResult is what --json prints.
type joinResult struct {
	RunID   protocol.Digest  `json:"run_id"`
	Peer    protocol.PeerID  `json:"peer"`
	Account protocol.Address `json:"account"`
	Shards  uint32           `json:"shards"`    // trained each round
	Of      int              `json:"of_shards"` // that the model has
	Memory  int64            `json:"memory"`    // bytes that this is planned to take
	Rounds  int              `json:"rounds"`    // that this process took part in
	Tokens  uint64           `json:"tokens"`    // trained by this process
	Earned  string           `json:"earned"`    // smallest units, over the whole run
	Balance string           `json:"onchain_balance"`
}

// Run trains until the run is over or the person has had enough.
func (c *joinCmd) Run(ctx context.Context, t *terminal) error {
	var memory int64
	if c.Memory != "" {
		var err error
		if memory, err = parseBytes(c.Memory); err != nil {
			return fmt.Errorf("%w: --memory: %w", errUsage, err)
		}
	}
	link, err := parseLink(c.Link)
	if err != nil {
		return err
	}
	show := newProgress(t, &protocol.RunSpec{}, 1)
	defer show.close()
	cards, err := c.cardFlags.open(func(why string) {
		if why == "" {
			show.line("training goes on")
		} else {
			show.line("training pauses: card %s", why)
		}
	})
	if err != nil {
		return err
	}
	defer cards.Close()
	for _, line := range cards.lines() {
		show.line("%s", line)
	}
	show.also = cards.brief
	cfg, err := c.config(t, home("join", link.Run.Short()), nil)
	if err != nil {
		return err
	}
	cards.configure(&cfg)
	tc := node.TrainerConfig{Config: cfg, Shards: c.Shards, Memory: memory}
	if c.Payout != "" {
		if tc.Payout, err = protocol.ParseAddress(c.Payout); err != nil {
			return fmt.Errorf("%w: --payout: %w", errUsage, err)
		}
	}
	r := joinResult{RunID: link.Run, Peer: cfg.Key.ID()}
	tc.OnEvent = func(e node.Event) {
		switch e.Kind {
		case node.EventTrained:
			r.Rounds, r.Tokens = r.Rounds+1, r.Tokens+e.Count
			show.line("round %d: trained %d tokens, loss %.3f", e.Round, e.Count, e.Loss)
			show.status("round %d: trained", e.Round)
		case node.EventStep:
			show.status("round %d: step %d, loss %.3f", e.Round, e.Step, e.Loss)
		default:
			show.notable(e)
		}
	}
	tc.OnPulse = show.pulse
	show.status("joining")
	show.line("joining run %s as %s", link.Run.Short(), cfg.Key.ID())
	tr, err := node.OpenTrainer(ctx, tc, link)
	if errors.Is(err, node.ErrCapacity) || errors.Is(err, trainer.ErrMemory) {
		return unusable(err)
	}
	if err != nil {
		return err
	}
	if err := c.measure(show, tr.ServeMetrics); err != nil {
		return errors.Join(err, tr.Close())
	}
	r.Account = tr.Payout()
	share := tr.Capacity()
	r.Shards, r.Of, r.Memory = share.Shards, share.Of, share.Memory.Total()
	if r.Shards == 0 {
		r.Shards = uint32(r.Of)
	}
	show.line("training %d of %d shards each round, planned to take %.0f MB", r.Shards, r.Of, float64(r.Memory)/1e6)
	show.line("joined; earnings go to %s. Ctrl-C leaves: only the round under way is lost", r.Account)
	select {
	case <-tr.Finished():
		err = tr.Err()
	case <-ctx.Done():
		leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err = errors.Join(ctx.Err(), tr.Leave(leave))
		cancel()
	}
	if err == nil {
		err = c.collect(ctx, t, show, &r)
	}
	if err = errors.Join(err, tr.Close()); err != nil {
		return err
	}
	show.close()
	return c.report(t, &r)
}

// collect waits until the run has settled everything and has the earnings paid. The trainer keeps running meanwhile: its
// last contributions are still being checked.
func (c *joinCmd) collect(ctx context.Context, t *terminal, show *progress, r *joinResult) error {
	show.line("training is over; waiting for the last checks and the settlement")
	client, err := dial(ctx, t, c.Link)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.AwaitFinished(ctx); err != nil {
		return err
	}
	if err := c.honoured(ctx, show, client, r); err != nil {
		return err
	}
	owed, err := client.Account(ctx, r.Account)
	if err != nil {
		return err
	}
	r.Earned = owed.Earned
	if decimal(owed.Earned).Sign() > 0 {
		claim, err := client.Claim(ctx, r.Account)
		if err != nil {
			return fmt.Errorf("%w; nothing is lost, try \"drystone claim\" later", err)
		}
		show.line("gas was paid by the ledger host %s", claim.GasBy.Short())
	}
	balance, err := client.Balance(ctx, r.Account)
	if err != nil {
		return err
	}
	r.Balance = balance.String()
	return nil
}

// honoured says so if the last rounds' checks refuted this peer, or could not reach it.
func (c *joinCmd) honoured(ctx context.Context, show *progress, client *node.Client, r *joinResult) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if text := s.Absent(r.Peer); text != "" {
		show.line("%s", text)
	}
	return s.Convicted(r.Peer)
}

func (c *joinCmd) report(t *terminal, r *joinResult) error {
	if c.JSON {
		return writeJSON(t.out, r)
	}
	_, err := fmt.Fprintf(t.out, "trained %d tokens in %d rounds, earned %s, on-chain balance of %s is %s\n", r.Tokens, r.Rounds, tokens(decimal(r.Earned)), r.Account, tokens(decimal(r.Balance)))
	return err
}

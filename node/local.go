package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"drystone/gossip"
	"drystone/protocol"
	"drystone/trainer"
)

// LocalConfig describes a run whose processes are all in this one: for trying out and for the demonstration. Sockets,
// Raft, the chain and the checks are the same as between machines; what is shared is the compute device.
type LocalConfig struct {
	Spec        protocol.RunSpec // complete, but for nothing
	Data        []byte
	Dir         string
	Aggregators []protocol.Key // as many as the spec's quorum; the first must be the founder
	Trainers    []LocalTrainer
	Threads     int
	Log         *slog.Logger
	OnEvent     func(Event)   // called from several goroutines, one call at a time per role
	Edit        func(*Config) // if not nil, changes each role's configuration before it starts
}

// LocalTrainer is one contributor of a local run.
type LocalTrainer struct {
	Key    protocol.Key
	Payout protocol.Address
	Shards uint32 // of a round that it trains, 0 for all
	Cheat  func(round uint32) bool
}

// Local is a running local run.
type Local struct {
	Run         protocol.Digest
	Link        gossip.Link
	Device      *trainer.Device
	Dataset     *trainer.Dataset
	Aggregators []*Aggregator // the founder first
	Trainers    []*Trainer
	spec        *protocol.RunSpec
}

func (cfg *LocalConfig) edit(c *Config) {
	if cfg.Edit != nil {
		cfg.Edit(c)
	}
}

// Spec returns the run's spec.
func (l *Local) Spec() *protocol.RunSpec { return l.spec }

// StartLocal founds the run and starts every role. It returns when all trainers have joined.
func StartLocal(ctx context.Context, cfg LocalConfig) (l *Local, err error) {
	l = &Local{spec: &cfg.Spec}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if l.Run, err = cfg.Spec.ID(); err != nil {
		return l, err
	}
	if err := cfg.Spec.Validate(); err != nil {
		return l, err
	}
	if l.Dataset, err = trainer.OpenDataset(cfg.Spec.Data, cfg.Data); err != nil {
		return l, err
	}
	if l.Device, err = trainer.NewDevice(&cfg.Spec, l.Run, l.Dataset, max(cfg.Threads, 1)); err != nil {
		return l, err
	}
	if err := l.startAggregators(ctx, cfg); err != nil {
		return l, err
	}
	for i, t := range cfg.Trainers {
		c := Config{Key: t.Key, Dir: filepath.Join(cfg.Dir, fmt.Sprintf("trainer-%d", i)), Device: l.Device, Log: cfg.Log, OnEvent: cfg.ofTrainer}
		cfg.edit(&c)
		tr, err := OpenTrainer(ctx, TrainerConfig{
			Config: c,
			Payout: t.Payout, Shards: t.Shards, Cheat: t.Cheat,
		}, l.Link)
		if err != nil {
			return l, fmt.Errorf("trainer %d: %w", i, err)
		}
		l.Trainers = append(l.Trainers, tr)
	}
	return l, nil
}

// ofTrainer passes on a trainer's event, unless it is a warning about the whole run, which the founder gives.
func (cfg *LocalConfig) ofTrainer(e Event) {
	if cfg.OnEvent != nil && e.Kind != EventFew {
		cfg.OnEvent(e)
	}
}

// startAggregators starts the founder and, as soon as its link is known, the others: the founder waits for them.
func (l *Local) startAggregators(ctx context.Context, cfg LocalConfig) error {
	n := len(cfg.Aggregators)
	if n != cfg.Spec.Quorum.Aggregators {
		return fmt.Errorf("%d aggregator keys for a quorum of %d", n, cfg.Spec.Quorum.Aggregators)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type opened struct {
		i   int
		a   *Aggregator
		err error
	}
	done := make(chan opened, n)
	linked := make(chan gossip.Link, 1)
	start := func(i int, link gossip.Link, spec *protocol.RunSpec, data []byte, onListen func(gossip.Link)) {
		c := Config{Key: cfg.Aggregators[i], Dir: filepath.Join(cfg.Dir, fmt.Sprintf("aggregator-%d", i)), Device: l.Device, Data: data, Log: cfg.Log, OnListen: onListen}
		if i == 0 {
			c.OnEvent = cfg.OnEvent
		}
		cfg.edit(&c)
		a, err := OpenAggregator(ctx, c, link, spec)
		done <- opened{i, a, err}
	}
	go start(0, gossip.Link{Run: l.Run}, &cfg.Spec, cfg.Data, func(link gossip.Link) { linked <- link })
	pending := 1
	l.Aggregators = make([]*Aggregator, n)
	var errs []error
	for pending > 0 {
		select {
		case l.Link = <-linked:
			for i := 1; i < n; i++ {
				pending++
				go start(i, l.Link, nil, nil, nil)
			}
		case o := <-done:
			pending--
			l.Aggregators[o.i] = o.a
			if o.err != nil {
				errs = append(errs, fmt.Errorf("aggregator %d: %w", o.i, o.err))
				cancel() // the others wait for it
			}
		}
	}
	return errors.Join(errs...)
}

// Close stops every role.
func (l *Local) Close() error {
	var errs []error
	for _, t := range l.Trainers {
		errs = append(errs, t.Close())
	}
	for _, a := range l.Aggregators {
		if a != nil {
			errs = append(errs, a.Close())
		}
	}
	if l.Device != nil {
		l.Device.Close()
	}
	return errors.Join(errs...)
}

package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drystone/gossip"
	"drystone/protocol"
	"drystone/trainer"
)

// TrainerConfig is what a contributor decides.
type TrainerConfig struct {
	Config
	Payout protocol.Address // where earnings go; the peer key's own account if zero
	// Shards is how many shards of a round this peer trains, 0 or at least as many as there are for all. Memory, if not 0,
	// says instead how many bytes the process may take, and Capacity what follows.
	Shards uint32
	Memory int64
	// Cheat, if not nil, says in which rounds to fabricate a contribution instead of training: the adversary of the
	// demonstration.
	Cheat func(round uint32) bool
}

// Trainer is one contributor: it follows the run, trains what it is assigned, commits before it reveals, and opens its
// states to whoever is drawn to check them.
type Trainer struct {
	member
	payout        protocol.Address
	capacity      Capacity
	cheat         func(uint32) bool
	store         *trainer.ContributionStore
	reveals       *reveals
	commits       *gossip.Topic
	control, cert *gossip.Topic
	shards        []*gossip.Topic
	ahead         *ahead // the next round, of the goroutine that follows the chain
	onCard        bool   // steps run on the card; of the goroutine that has the Device
	finished      chan struct{}
	err           error  // why it stopped, once finished is closed
	absent        string // said last of an absence; of work
}

// OpenTrainer joins the run that the link names. It returns when the peer has asked for a place; training starts with the
// next Open. It runs until the run is over, Close, or an error that it cannot mend.
func OpenTrainer(ctx context.Context, cfg TrainerConfig, link gossip.Link) (*Trainer, error) {
	t := &Trainer{payout: cfg.Payout, cheat: cfg.Cheat, finished: make(chan struct{})}
	if err := t.start(ctx, cfg, link); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

func (t *Trainer) start(ctx context.Context, cfg TrainerConfig, link gossip.Link) (err error) {
	if err := t.open(ctx, cfg.Config, link, nil); err != nil {
		return err
	}
	if t.payout == (protocol.Address{}) {
		if t.payout, err = cfg.Key.ID().Address(); err != nil {
			return err
		}
	}
	if t.store, err = trainer.OpenContributions(t.path("contributions"), t.spec, t.run, t.spec.Verify.Window+2+t.spec.Train.Delay); err != nil {
		return err
	}
	t.reveals = newReveals(t.path("reveals"))
	if err := t.awaitGenesis(ctx, link); err != nil {
		return err
	}
	if err := t.loadData(ctx, t.councilPeers); err != nil {
		return err
	}
	if err := t.openDevice(ctx); err != nil {
		return err
	}
	if t.capacity, err = t.chooseCapacity(ctx, cfg); err != nil {
		return err
	}
	if err := t.joinTopics(); err != nil {
		return err
	}
	t.serve()
	if t.history.rounds() < t.spec.Train.Rounds {
		if err := t.ready(ctx); err != nil {
			return err
		}
	}
	if t.history.rounds() < t.spec.Train.Rounds { // the run may have ended meanwhile
		if err := t.join(ctx); err != nil {
			return err
		}
	} else if s, err := t.standing(ctx); err == nil && s.convicted != nil { // who comes back after the end hears it too
		return s.convicted
	}
	t.spawn(t.work)
	t.spawn(t.watchPause)
	t.watchNetwork()
	return nil
}

// awaitGenesis waits until the run is founded and fetches the statement chain.
func (t *Trainer) awaitGenesis(ctx context.Context, link gossip.Link) error {
	err := retry(ctx, time.Second, func() error {
		if err := t.catchUp(ctx, t.entrances(link)); err != nil {
			return err
		}
		if t.history.length() == 0 {
			t.emit(Event{Kind: EventWaiting, Text: "waiting for the aggregators to found the run"})
			return errors.New("the run has no Genesis yet")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fetch the statement chain: %w", err)
	}
	council, _ := t.history.rules()
	t.dialMissing(ctx, council)
	t.stayConnected()
	return nil
}

// joinTopics subscribes to the statements and joins, to publish only, what others gather.
func (t *Trainer) joinTopics() error {
	v, err := gossip.NewValidator(t.spec, t.params, roundView{h: t.history, params: t.params})
	if err != nil {
		return err
	}
	var subs []*gossip.Subscription
	if t.control, t.cert, subs, err = t.joinStatementTopics(v); err != nil {
		return err
	}
	if err := t.joinHaves(); err != nil {
		return err
	}
	t.follow(subs)
	if t.commits, err = t.host.Join(gossip.TopicCommit, nil); err != nil {
		return err
	}
	for i := range v.Shards() {
		topic, err := t.host.Join(gossip.ShardTopic(i), nil)
		if err != nil {
			return err
		}
		t.shards = append(t.shards, topic)
	}
	return nil
}

// serve answers whoever checks this peer.
func (t *Trainer) serve() {
	t.host.Handle(callReveal, maxSmall, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		return serveReveal(t.reveals, req)
	})
	t.host.Handle(callOpen, maxSmall, t.answerOpen)
}

// answerOpen opens what a check asks for.
func (t *Trainer) answerOpen(_ context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
	council, _ := t.history.rules()
	if _, ok := council.Member(from); !ok {
		return nil, gossip.Errorf(gossip.CodeRefused, "only aggregators of the run may ask for an opening")
	}
	var r protocol.OpenRequest
	if err := protocol.Decode(req, maxSmall, &r); err != nil {
		return nil, gossip.Errorf(gossip.CodeBad, "%v", err)
	}
	// What is not yet frozen must not be opened: an aggregator could hand it to a copier.
	if _, _, err := statementOf[protocol.RevealSet](t.history, protocol.KindRevealSet, r.Round); err != nil {
		return nil, gossip.Errorf(gossip.CodeRefused, "round %d is not revealed yet", r.Round)
	}
	c, err := t.store.Load(r.Round)
	if err != nil {
		return nil, gossip.Errorf(gossip.CodeNotFound, "contribution to round %d is not here", r.Round)
	}
	o, err := c.Open(r)
	if err != nil {
		return nil, err
	}
	return o.Encode(), nil
}

// askCouncil calls aggregators, one after the other, until one answers.
func (t *Trainer) askCouncil(ctx context.Context, name string, req []byte) error {
	last := errors.New("no aggregator is known")
	for _, p := range t.councilPeers() {
		_, err := t.callFor(ctx, 40*time.Second, p, name, req, maxSmall)
		if err == nil {
			return nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("%s: %w", name, last)
}

// Leave gives the place in the roster up, so that the next round does not wait for this peer.
func (t *Trainer) Leave(ctx context.Context) error {
	nonce, err := t.nextNonce()
	if err != nil {
		return err
	}
	msg := protocol.Sign(t.cfg.Key, protocol.Leave{Run: t.run, Peer: t.cfg.Key.ID(), Nonce: nonce}).Encode()
	return t.askCouncil(ctx, callLeave, msg)
}

// Finished is closed when the last round is certified, or when the trainer cannot go on; Err then says why.
func (t *Trainer) Finished() <-chan struct{} { return t.finished }

// Err returns why the trainer stopped, nil for the end of the run. Call it after Finished.
func (t *Trainer) Err() error { return t.err }

// Capacity returns what this peer offers to train each round.
func (t *Trainer) Capacity() Capacity { return t.capacity }

// Payout returns the account that this peer's work is paid to.
func (t *Trainer) Payout() protocol.Address { return t.payout }

// Close stops training and releases the directory. The round under way is lost, nothing else.
func (t *Trainer) Close() error { return t.member.close() }

// ID returns the peer's key.
func (t *Trainer) ID() protocol.PeerID { return t.cfg.Key.ID() }

package node

import (
	"context"
	"fmt"
	"sync"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
)

// joinTopics subscribes to what an aggregator gathers: statements, commits, the shards that it owns. consume begins to handle what
// came in; it needs the replica.
func (a *Aggregator) joinTopics(v *gossip.Validator) (consume func(), err error) {
	var subs []*gossip.Subscription
	if a.control, a.cert, subs, err = a.joinStatementTopics(v); err != nil {
		return nil, err
	}
	if err := a.joinHaves(); err != nil {
		return nil, err
	}
	a.follow(subs)
	commits, err := a.subscribe(gossip.TopicCommit, v.Commit, 1024)
	if err != nil {
		return nil, err
	}
	a.hearing = &hearing{a: a, v: v, subs: make([]*gossip.Subscription, v.Shards()), topics: make([]*gossip.Topic, v.Shards())}
	if err := a.hearing.tune(); err != nil {
		return nil, err
	}
	a.spawn(a.hearing.follow)
	return func() { a.consume(commits, a.heardCommit) }, nil
}

// hearing is which shards this aggregator hears by gossip: those that it owns, as the newest council of the chain has it. An
// observer hears none, and one that is removed no more.
type hearing struct {
	a *Aggregator
	v *gossip.Validator

	mu     sync.Mutex
	tuned  *protocol.Council      // that subs follow
	topics []*gossip.Topic        // by shard; joined when it is first heard
	subs   []*gossip.Subscription // by shard; nil where it is not heard
}

// follow tunes at every change of the council.
func (h *hearing) follow(ctx context.Context) {
	for {
		more := h.a.history.wait()
		if err := h.tune(); err != nil && ctx.Err() == nil {
			h.a.warn(0, fmt.Errorf("shards of the changed council: %w", err)) // what gossip does not bring is fetched
		}
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
	}
}

// tune subscribes to what this aggregator owns now, and leaves the rest. An error leaves the rest for the next call.
func (h *hearing) tune() (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	council, _ := h.a.history.rules()
	if council == h.tuned {
		return nil
	}
	for i := range h.subs {
		switch owns := h.a.gathers(i); {
		case owns == (h.subs[i] != nil):
		case !owns:
			h.subs[i].Cancel()
			h.subs[i] = nil
		default:
			if h.topics[i] == nil {
				if h.topics[i], err = h.a.host.Join(gossip.ShardTopic(i), h.v.Shard(i)); err != nil {
					return err
				}
			}
			if h.subs[i], err = h.topics[i].Subscribe(64); err != nil {
				return err
			}
			h.a.consume(h.subs[i], h.a.heardReveal)
		}
	}
	h.tuned = council
	return nil
}

// shards returns the shards that are heard, ascending.
func (h *hearing) shards() (heard []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, s := range h.subs {
		if s != nil {
			heard = append(heard, i)
		}
	}
	return heard
}

func (a *Aggregator) subscribe(name string, v gossip.ValidateFunc, buffer int) (*gossip.Subscription, error) {
	t, err := a.host.Join(name, v)
	if err != nil {
		return nil, err
	}
	return t.Subscribe(buffer)
}

func (a *Aggregator) consume(sub *gossip.Subscription, fn func(context.Context, []byte)) {
	a.spawn(func(ctx context.Context) {
		for {
			msg, err := sub.Next(ctx)
			if err != nil {
				return
			}
			fn(ctx, msg.Data)
		}
	})
}

// heardCommit logs a gossiped commit, so that a trainer that reaches no aggregator directly still counts.
func (a *Aggregator) heardCommit(ctx context.Context, data []byte) {
	c, err := protocol.DecodeSigned[protocol.Commit](data)
	if err != nil {
		return
	}
	a.spawn(func(ctx context.Context) {
		if err := a.propose(ctx, aggregate.CommitRecord(c)); err != nil && ctx.Err() == nil {
			a.cfg.Log.Debug("gossiped commit", "peer", c.Body.Peer.Short(), "err", err)
		}
	})
}

// heardReveal keeps a reveal that the validator has checked.
func (a *Aggregator) heardReveal(_ context.Context, data []byte) {
	r, err := protocol.DecodeReveal(data)
	a.heard.Add(uint64(len(data)))
	if err == nil {
		err = a.reveals.put(r, data)
	}
	if err != nil {
		a.warn(0, fmt.Errorf("reveal: %w", err))
	}
}

// commitOf serves the validators: a commit of the newest round.
func (a *Aggregator) commitOf(p protocol.PeerID) (*protocol.Commit, bool) {
	select {
	case <-a.ready:
	default:
		return nil, false // the replica is still reading its log
	}
	var found *protocol.Commit
	a.replica.Read(func(m *aggregate.Machine) {
		if c, ok := m.Commit(p); ok {
			found = &c.Body
		}
	})
	return found, found != nil
}

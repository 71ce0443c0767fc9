package gossip

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// Topics of a run. Shard topics are ShardTopic(n).
const (
	TopicControl = "control" // Genesis, Open, Freeze, RevealSet: the statements that a round waits for
	TopicCommit  = "commit"  // trainers' Commits
	TopicCert    = "cert"    // Certificates
)

const maxTopicName = 64

// ShardTopic names the topic that carries reveals of shard n.
func ShardTopic(n int) string { return "shard/" + strconv.Itoa(n) }

// Verdict is what a validator says of a message, and what follows for the neighbour that forwarded it.
type Verdict int

const (
	// Accept: deliver it and forward it.
	Accept Verdict = iota
	// Ignore: neither deliver nor forward, and think no worse of the neighbour. For what is late, unneeded, or not for
	// us to judge. The same bytes are not looked at again for two minutes.
	Ignore
	// Reject: provably bad, whatever the reader's state. The neighbour loses score, for it should have checked; one that
	// goes on is no longer listened to.
	Reject
	// Later: it cannot be judged yet, but soon may be: a reveal before the freeze, a commit before the open. The host
	// holds it and asks again after each Recheck; after Config.HoldFor, or if too much is held, it counts as Ignore.
	Later
	// Stale: Ignore, but of a round so long over that nobody who keeps up sends it. The neighbour loses a little, since one
	// that is behind may not know better.
	Stale
)

// String returns the verdict's name.
func (v Verdict) String() string {
	if v >= Accept && v <= Stale {
		return [...]string{"accept", "ignore", "reject", "later", "stale"}[v]
	}
	return "verdict " + strconv.Itoa(int(v))
}

// ValidateFunc judges one message of 1 to protocol.MaxMessage bytes. from is the peer that published it, as the gossipsub
// signature proves; it need not be the peer whose message is inside. The function is called from many goroutines,
// must not change or keep data, and must return soon after ctx ends. If it panics, the message is ignored and the panic logged.
type ValidateFunc func(ctx context.Context, from protocol.PeerID, data []byte) Verdict

// Topic is one joined topic. It is safe for concurrent use.
type Topic struct {
	h        *Host
	name     string
	topic    *pubsub.Topic
	validate ValidateFunc
	lost     counter

	mu   sync.Mutex
	mesh map[peer.ID]bool // gossipsub's mesh of the topic, as its tracer tells
	in   Count
	out  Count
}

// Join joins a topic by its short name. A nil validate gives a publish-only topic: nothing is received, so a trainer
// carries no one else's traffic. To join the same topic twice is an error.
func (h *Host) Join(name string, validate ValidateFunc) (*Topic, error) {
	if name == "" || len(name) > maxTopicName {
		return nil, fmt.Errorf("gossip: topic name %q: want 1 to %d characters", clip(name), maxTopicName)
	}
	t := &Topic{h: h, name: name, validate: validate, mesh: map[peer.ID]bool{},
		lost: counter{log: h.cfg.Logger, what: "message lost: a subscription's buffer is full"}}
	if err := h.reserve(t); err != nil {
		return nil, fmt.Errorf("gossip: join %s: %w", name, err)
	}
	if err := t.start(); err != nil {
		h.mu.Lock()
		delete(h.topics, t.full())
		h.mu.Unlock()
		return nil, fmt.Errorf("gossip: join %s: %w", name, err)
	}
	return t, nil
}

// reserve takes the topic's name. Gossipsub is not called under the mutex, which its tracer takes too.
func (h *Host) reserve(t *Topic) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return ErrClosed
	}
	if h.topics[t.full()] != nil {
		return errors.New("already joined")
	}
	h.topics[t.full()] = t
	return nil
}

func (t *Topic) start() (err error) {
	if t.validate != nil {
		err = t.h.pubsub.RegisterTopicValidator(t.full(), t.judge, pubsub.WithValidatorConcurrency(maxValidations))
		if err != nil {
			return err
		}
	}
	if t.topic, err = t.h.pubsub.Join(t.full()); err != nil {
		return err
	}
	return t.topic.SetScoreParams(topicScoring())
}

func (t *Topic) full() string { return t.h.topicPrefix() + t.name }

func (h *Host) topicPrefix() string { return "/drystone/1/" + h.cfg.Run.String() + "/" }

// Recheck says that the state which validators look at has moved on (a new round, a new commit, a freeze): messages held
// by the verdict Later are judged again. It does not block.
func (h *Host) Recheck() { h.hold.recheck.fire() }

// Publish signs data, 1 to protocol.MaxMessage bytes, and sends it to the neighbours on the topic. The topic's own validator runs
// first: Ignore and Reject are errors, Later passes. It does not wait for neighbours: with none, the message goes
// nowhere now and to those that appear within a few seconds; see WaitPeers.
func (t *Topic) Publish(ctx context.Context, data []byte) error {
	if len(data) == 0 || len(data) > protocol.MaxMessage {
		return fmt.Errorf("gossip: publish on %s: %d bytes, want 1 to %d", t.name, len(data), protocol.MaxMessage)
	}
	if t.h.ctx.Err() != nil {
		return fmt.Errorf("gossip: publish on %s: %w", t.name, ErrClosed)
	}
	if err := t.topic.Publish(ctx, data); err != nil {
		return fmt.Errorf("gossip: publish on %s: %w", t.name, err)
	}
	return nil
}

// Peers returns how many connected peers are subscribed to the topic.
func (t *Topic) Peers() int { return len(t.topic.ListPeers()) }

// Neighbours returns how many peers are in the mesh of a subscribed topic: those with which we exchange every message.
// It lags behind Peers by up to a second, gossipsub's heartbeat.
func (t *Topic) Neighbours() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.mesh)
}

// WaitPeers returns when at least n connected peers are subscribed to the topic, or with ctx's error.
func (t *Topic) WaitPeers(ctx context.Context, n int) error {
	return t.wait(ctx, n, t.Peers)
}

// wait returns when count is at least n. The tracer fires streams before each change that count may see; count itself
// is answered by gossipsub's loop after the change.
func (t *Topic) wait(ctx context.Context, n int, count func() int) error {
	for {
		changed := t.h.streams.changed()
		if count() >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("gossip: %d of %d peers on %s: %w", count(), n, t.name, ctx.Err())
		case <-t.h.ctx.Done():
			return fmt.Errorf("gossip: wait for peers on %s: %w", t.name, ErrClosed)
		}
	}
}

// Lost returns how many messages were dropped because a subscription's buffer was full.
func (t *Topic) Lost() uint64 { return t.lost.n.Load() }

// Message is a delivered message.
type Message struct {
	From protocol.PeerID // who published it
	Data []byte          // shared by all subscriptions: do not change
}

// Subscription is a queue of accepted messages. Messages that we publish ourselves arrive too.
type Subscription struct {
	sub *pubsub.Subscription
	t   *Topic
}

// Subscribe starts to receive and forward the topic. When buffer messages are waiting, newer ones are dropped, counted by
// Lost and logged.
func (t *Topic) Subscribe(buffer int) (*Subscription, error) {
	if t.validate == nil {
		return nil, fmt.Errorf("gossip: subscribe to %s: the topic was joined without a validator, to publish only", t.name)
	}
	if buffer < 1 {
		return nil, fmt.Errorf("gossip: subscribe to %s: buffer of %d messages, want at least 1", t.name, buffer)
	}
	sub, err := t.topic.Subscribe(pubsub.WithBufferSize(buffer))
	if err != nil {
		return nil, fmt.Errorf("gossip: subscribe to %s: %w", t.name, err)
	}
	return &Subscription{sub: sub, t: t}, nil
}

// Next waits for a message. It returns ctx's error, or ErrClosed after Cancel or Host.Close.
func (s *Subscription) Next(ctx context.Context) (Message, error) {
	ctx, stop := s.t.h.join(ctx)
	defer stop()
	m, err := s.sub.Next(ctx)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		} else if errors.Is(err, pubsub.ErrSubscriptionCancelled) {
			err = ErrClosed
		}
		return Message{}, fmt.Errorf("gossip: next on %s: %w", s.t.name, err)
	}
	from, err := PeerIDToProtocol(m.GetFrom())
	if err != nil {
		return Message{}, fmt.Errorf("gossip: next on %s: %w", s.t.name, err)
	}
	return Message{From: from, Data: m.Data}, nil
}

// Cancel ends the subscription; Next returns ErrClosed.
func (s *Subscription) Cancel() { s.sub.Cancel() }

// judge runs the validator on a message that gossipsub has checked the publisher's signature of.
func (t *Topic) judge(ctx context.Context, src peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if len(m.Data) == 0 || len(m.Data) > protocol.MaxMessage {
		return pubsub.ValidationReject
	}
	from, err := PeerIDToProtocol(m.GetFrom())
	if err != nil {
		return pubsub.ValidationReject
	}
	own := src == t.h.lib.ID()
	verdict := t.h.hold.until(ctx, t.h.cfg.HoldFor, src, len(m.Data), func() Verdict {
		v := t.run(ctx, from, m.Data)
		if own && v != Reject {
			return Accept // our own message, which our own state may know already: others judge it
		}
		return v
	})
	switch verdict {
	case Accept:
		return pubsub.ValidationAccept
	case Reject:
		t.h.cfg.Logger.Debug("message rejected", "topic", t.name, "from", from, "neighbour", src, "bytes", len(m.Data))
		return pubsub.ValidationReject
	case Stale:
		t.h.blobs.conduct.stale(src, from)
	}
	return pubsub.ValidationIgnore
}

func (t *Topic) run(ctx context.Context, from protocol.PeerID, data []byte) (v Verdict) {
	defer func() {
		if p := recover(); p != nil {
			t.h.cfg.Logger.Error("validator panicked; message ignored", "topic", t.name, "from", from, "panic", p)
			v = Ignore
		}
	}()
	return t.validate(ctx, from, data)
}

package gossip

import (
	"maps"
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"
)

// tracer watches gossipsub: it counts messages that a full subscription buffer dropped, so that nothing is lost in
// silence, and mesh links. Gossipsub calls it from its one loop.
type tracer struct{ h *Host }

var _ pubsub.RawTracer = tracer{}

func (tr tracer) topic(name string) *Topic {
	tr.h.mu.Lock()
	defer tr.h.mu.Unlock()
	return tr.h.topics[name]
}

func (tr tracer) UndeliverableMessage(m *pubsub.Message) {
	if t := tr.topic(m.GetTopic()); t != nil {
		t.lost.add("topic", t.name)
	}
}

func (tr tracer) RejectMessage(m *pubsub.Message, reason string) {
	if reason == pubsub.RejectValidationQueueFull || reason == pubsub.RejectValidationThrottled {
		tr.h.dropped.add("topic", m.GetTopic(), "neighbour", m.ReceivedFrom)
	}
}

func (tr tracer) Graft(p peer.ID, topic string) {
	if t := tr.topic(topic); t != nil {
		t.mu.Lock()
		t.mesh[p] = true
		t.mu.Unlock()
	}
	tr.h.streams.fire()
}

func (tr tracer) Prune(p peer.ID, topic string) {
	if t := tr.topic(topic); t != nil {
		t.mu.Lock()
		delete(t.mesh, p)
		t.mu.Unlock()
	}
	tr.h.streams.fire()
}

func (tr tracer) OnNewOutboundStream(peer.ID, libp2pproto.ID) { tr.h.streams.fire() }

// OnClosedOutboundStream takes a lost peer out of every mesh; gossipsub traces no Prune for it.
func (tr tracer) OnClosedOutboundStream(p peer.ID) {
	tr.h.mu.Lock()
	topics := slices.Collect(maps.Keys(tr.h.topics))
	tr.h.mu.Unlock()
	for _, name := range topics {
		tr.Prune(p, name)
	}
	tr.h.streams.fire()
}

// RecvRPC comes before the RPC is handled, in the same turn of the loop.
func (tr tracer) RecvRPC(rpc *pubsub.RPC) {
	if len(rpc.GetSubscriptions()) > 0 {
		tr.h.streams.fire()
	}
}

func (tracer) Join(string)                                          {}
func (tracer) Leave(string)                                         {}
func (tracer) ValidateMessage(*pubsub.Message)                      {}
func (tracer) DuplicateMessage(*pubsub.Message)                     {}
func (tracer) ThrottlePeer(peer.ID)                                 {}
func (tracer) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (tracer) DropRPC(*pubsub.RPC, peer.ID)                         {}

func (tr tracer) DeliverMessage(m *pubsub.Message)   { tr.countDelivered(m) }
func (tr tracer) SendRPC(rpc *pubsub.RPC, _ peer.ID) { tr.countSent(rpc) }

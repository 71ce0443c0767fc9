package gossip

import (
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"
)

// lossTracer counts messages that a full subscription buffer dropped, so that nothing is lost in silence.
type lossTracer struct{ h *Host }

var _ pubsub.RawTracer = lossTracer{}

func (l lossTracer) UndeliverableMessage(m *pubsub.Message) {
	l.h.mu.Lock()
	t := l.h.topics[m.GetTopic()]
	l.h.mu.Unlock()
	if t == nil {
		return
	}
	if n := t.lost.Add(1); n&(n-1) == 0 { // the 1st, 2nd, 4th, 8th...
		l.h.cfg.Logger.Warn("message lost: a subscription's buffer is full", "topic", t.name, "lost", n)
	}
}

func (lossTracer) OnNewOutboundStream(peer.ID, libp2pproto.ID)          {}
func (lossTracer) OnClosedOutboundStream(peer.ID)                       {}
func (lossTracer) Join(string)                                          {}
func (lossTracer) Leave(string)                                         {}
func (lossTracer) Graft(peer.ID, string)                                {}
func (lossTracer) Prune(peer.ID, string)                                {}
func (lossTracer) ValidateMessage(*pubsub.Message)                      {}
func (lossTracer) DeliverMessage(*pubsub.Message)                       {}
func (lossTracer) RejectMessage(*pubsub.Message, string)                {}
func (lossTracer) DuplicateMessage(*pubsub.Message)                     {}
func (lossTracer) ThrottlePeer(peer.ID)                                 {}
func (lossTracer) RecvRPC(*pubsub.RPC)                                  {}
func (lossTracer) SendRPC(*pubsub.RPC, peer.ID)                         {}
func (lossTracer) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
func (lossTracer) DropRPC(*pubsub.RPC, peer.ID)                         {}

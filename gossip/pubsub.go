package gossip

import (
	"crypto/sha256"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"

	"drystone/protocol"
)

// gossipID keeps us off the public gossipsub networks, which have other limits.
const gossipID = libp2pproto.ID("/drystone/1/gossip/1.2.0")

const (
	maxRPC         = protocol.MaxMessage + 64<<10 // a message and what gossipsub wraps it in
	maxControlRPC  = 256 << 10
	outboundQueue  = 256
	validateQueue  = 512
	maxValidations = 2048 // goroutines that validate or hold a message
	maxTopics      = 4096 // subscriptions that one peer may announce
)

func newPubSub(h *Host) (*pubsub.PubSub, error) {
	params, thresholds := scoring(h.blobs.conduct.score)
	return pubsub.NewGossipSub(h.ctx, h.lib,
		pubsub.WithGossipSubProtocols([]libp2pproto.ID{gossipID}, features),
		pubsub.WithMessageSignaturePolicy(pubsub.StrictSign),
		pubsub.WithMessageIdFn(messageID),
		pubsub.WithMaxMessageSize(maxRPC),
		pubsub.WithMaxControlMessageSize(maxControlRPC),
		pubsub.WithPeerOutboundQueueSize(outboundQueue),
		pubsub.WithValidateQueueSize(validateQueue),
		pubsub.WithValidateThrottle(maxValidations),
		pubsub.WithSubscriptionFilter(pubsub.WrapLimitSubscriptionFilter(ownTopics{h.topicPrefix()}, maxTopics)),
		pubsub.WithPeerScore(params, thresholds),
		pubsub.WithPeerScoreInspect(h.standings.take, inspectEvery),
		pubsub.WithAppSpecificRpcInspector(h.quota.inspect),
		pubsub.WithRawTracer(tracer{h: h}),
		// A message published before the mesh has formed would otherwise reach nobody.
		pubsub.WithFloodPublish(true),
		pubsub.WithLogger(h.cfg.Logger.With("part", "gossipsub")),
	)
}

func features(f pubsub.GossipSubFeature, p libp2pproto.ID) bool {
	return p == gossipID && (f == pubsub.GossipSubFeatureMesh || f == pubsub.GossipSubFeatureIdontwant)
}

// messageID makes a message's identity its content, so that the same commit from two publishers travels once. The topic
// is part of it: else a message sent on a wrong topic first would suppress the right one.
func messageID(m *pb.Message) string {
	h := sha256.New()
	h.Write([]byte(m.GetTopic()))
	h.Write([]byte{0})
	h.Write(m.GetData())
	return string(h.Sum(nil))
}

// ownTopics ignores announcements of other runs' topics.
type ownTopics struct{ prefix string }

func (o ownTopics) CanSubscribe(topic string) bool {
	return len(topic) > len(o.prefix) && len(topic) <= len(o.prefix)+maxTopicName && topic[:len(o.prefix)] == o.prefix
}

func (o ownTopics) FilterIncomingSubscriptions(from peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	return pubsub.FilterSubscriptions(subs, o.CanSubscribe), nil
}

// scoring punishes rejected messages, and misconduct as conduct tells it. A neighbour that forwards one is at -10, at three
// it is left out of gossip, at five it is not listened to; a minute of good conduct wipes that out. Delivery quotas are off: trainers publish and
// forward nothing. Colocation is off: a home has many peers behind one address.
func scoring(conduct func(peer.ID) float64) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	return &pubsub.PeerScoreParams{
			SkipAtomicValidation:      true,
			Topics:                    map[string]*pubsub.TopicScoreParams{}, // Join adds to it
			AppSpecificScore:          conduct,
			AppSpecificWeight:         1,
			BehaviourPenaltyWeight:    -10,
			BehaviourPenaltyThreshold: 6,
			BehaviourPenaltyDecay:     0.9,
			DecayInterval:             time.Second,
			DecayToZero:               0.1,
			RetainScore:               10 * time.Minute,
		}, &pubsub.PeerScoreThresholds{
			SkipAtomicValidation: true,
			GossipThreshold:      gossipBelow,
			PublishThreshold:     publishBelow,
			GraylistThreshold:    unheardBelow,
		}
}

func topicScoring() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		SkipAtomicValidation:           true,
		TopicWeight:                    1,
		TimeInMeshQuantum:              time.Second,
		InvalidMessageDeliveriesWeight: -10,
		InvalidMessageDeliveriesDecay:  0.95,
	}
}

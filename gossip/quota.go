package gossip

import (
	"log/slog"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"
)

// quota bounds what each neighbour may forward to us, before signatures are checked. What exceeds it is cut off the RPC;
// control messages and subscriptions pass, so a busy neighbour stays in the mesh.
type quota struct {
	msgRate, byteRate float64
	cut               counter
	blame             func(from peer.ID, messages int) // for what was cut off

	mu    sync.Mutex
	peers map[peer.ID]*bucket
}

// bucket holds what a neighbour may still send. It fills up to two seconds' worth.
type bucket struct {
	msgs, bytes float64
	last        time.Time
}

const bucketSeconds = 2

func newQuota(msgRate, byteRate int, blame func(peer.ID, int), log *slog.Logger) *quota {
	return &quota{msgRate: float64(msgRate), byteRate: float64(byteRate), blame: blame, peers: map[peer.ID]*bucket{},
		cut: counter{log: log, what: "messages cut off: a neighbour exceeds its rate"}}
}

// inspect is gossipsub's RPC inspector. It is called by one goroutine.
func (q *quota) inspect(from peer.ID, rpc *pubsub.RPC) error {
	if len(rpc.Publish) == 0 {
		return nil
	}
	keep, sent := rpc.Publish[:0], len(rpc.Publish)
	now := time.Now()
	for _, m := range rpc.Publish {
		if q.take(from, proto.Size(m), now) {
			keep = append(keep, m)
		} else {
			q.cut.add("neighbour", from)
		}
	}
	if cut := sent - len(keep); cut > 0 {
		q.blame(from, cut)
	}
	rpc.Publish = keep
	return nil
}

// take takes one message of size bytes out of the peer's bucket.
func (q *quota) take(from peer.ID, size int, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	b := q.peers[from]
	if b == nil {
		q.prune(now)
		b = &bucket{msgs: bucketSeconds * q.msgRate, bytes: bucketSeconds * q.byteRate, last: now}
		q.peers[from] = b
	}
	seconds := max(0, now.Sub(b.last).Seconds())
	b.last = now
	b.msgs = min(b.msgs+seconds*q.msgRate, bucketSeconds*q.msgRate)
	b.bytes = min(b.bytes+seconds*q.byteRate, bucketSeconds*q.byteRate)
	if b.msgs < 1 || b.bytes < float64(size) {
		return false
	}
	b.msgs--
	b.bytes -= float64(size)
	return true
}

// prune forgets buckets that have filled up, when there are many: to be forgotten then gains a peer nothing.
func (q *quota) prune(now time.Time) {
	if len(q.peers) < 2*MaxPeers {
		return
	}
	for id, b := range q.peers {
		if now.Sub(b.last) > bucketSeconds*time.Second {
			delete(q.peers, id)
		}
	}
}

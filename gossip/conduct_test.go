package gossip

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

func libID(t *testing.T, name string) (peer.ID, protocol.PeerID) {
	t.Helper()
	p := protocol.DeriveKey(1, name).ID()
	id, err := PeerIDFromProtocol(p)
	if err != nil {
		t.Fatal(err)
	}
	return id, p
}

// Who says itself what belongs to rounds long over is soon shunned; who passes on what another has said needs ten times as
// many messages for it, more than there are statements of the rounds that an honest neighbour can lack.
func TestStaleMessagesCost(t *testing.T) {
	c := newConduct()
	id, p := libID(t, "neighbour")
	_, other := libID(t, "author")
	for n := 1; ; n++ {
		c.stale(id, other)
		if c.shunned(p) {
			if n < 900 {
				t.Errorf("shunned for %d messages that it passed on", n)
			}
			break
		}
	}
	c = newConduct()
	for n := 1; ; n++ {
		c.stale(id, p)
		if c.shunned(p) {
			if n < 90 || n > 110 {
				t.Errorf("shunned for %d messages of its own", n)
			}
			break
		}
	}
}

// Messages beyond a neighbour's rate are cut off and told of, those within are not.
func TestFloodsAreBlamed(t *testing.T) {
	var blamed int
	q := newQuota(10, 1<<20, func(_ peer.ID, n int) { blamed += n }, slog.New(slog.DiscardHandler))
	id, _ := libID(t, "flooder")
	rpc := func(n int) *pubsub.RPC {
		r := &pubsub.RPC{}
		for range n {
			r.Publish = append(r.Publish, &pb.Message{Data: []byte("x")})
		}
		return r
	}
	if err := q.inspect(id, rpc(20)); err != nil || blamed != 0 {
		t.Fatalf("%d of a burst of 20 blamed, %v", blamed, err)
	}
	r := rpc(500)
	if err := q.inspect(id, r); err != nil || blamed != 500-len(r.Publish) || len(r.Publish) > 2 {
		t.Errorf("%d of 500 passed, %d blamed, %v", len(r.Publish), blamed, err)
	}
}

// A neighbour that replays rounds long over, with its own signature, is shunned by the host that hears it, and one whose
// messages are rejected is not listened to any more.
func TestReplaysAndGarbageAreScoredOut(t *testing.T) {
	a, replays, garbage := newHost(t, 1, nil), newHost(t, 2, nil), newHost(t, 3, nil)
	join(t, a, TopicControl, func(_ context.Context, _ protocol.PeerID, data []byte) Verdict {
		if data[0] == 'o' {
			return Stale
		}
		return Reject
	})
	for _, x := range []struct {
		h    *Host
		word string
		out  func(protocol.PeerID) bool
	}{{replays, "old", a.Shuns}, {garbage, "noise", a.Unheard}} {
		connect(t, x.h, a)
		topic, err := x.h.Join(TopicControl, nil)
		if err != nil {
			t.Fatal(err)
		}
		waitPeers(t, topic, 1)
		n := 0
		eventually(t, x.word+" is scored out", func() bool {
			for range 20 {
				publish(t, topic, fmt.Appendf(nil, "%s %d", x.word, n))
				n++
			}
			return x.out(x.h.ID())
		})
	}
	if a.Unheard(replays.ID()) && a.Stats().Unheard < 2 || a.Stats().Unheard < 1 {
		t.Errorf("%d neighbours unheard", a.Stats().Unheard)
	}
}

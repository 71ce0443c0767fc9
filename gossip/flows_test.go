package gossip

import (
	"context"
	"fmt"
	"testing"

	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"

	"drystone/protocol"
)

// Names that a peer could make up take no memory without bound, and no byte is forgotten.
func TestFlowsBound(t *testing.T) {
	var f flows
	for i := range 10 * maxFlows {
		f.LogRecvMessageStream(1, libp2pproto.ID(fmt.Sprint("/x/", i)), "")
	}
	var sum int64
	for _, b := range f.read() {
		sum += b.In
	}
	if n := len(f.read()); n > maxFlows+1 || sum != 10*maxFlows {
		t.Errorf("%d names, %d bytes in all", n, sum)
	}
}

// What two hosts send each other shows on both sides, by protocol and by topic, over TCP and QUIC.
func TestTrafficCounts(t *testing.T) {
	for _, listen := range []string{overTCP, overQUIC} {
		a, b := newHost(t, 1, on(listen)), newHost(t, 2, on(listen))
		ta, tb := join(t, a, "control", acceptAll), join(t, b, "control", acceptAll)
		connect(t, a, b)
		waitPeers(t, ta.Topic, 1)
		waitPeers(t, tb.Topic, 1)
		publish(t, ta.Topic, make([]byte, 5000))
		tb.next(t)
		b.Handle("echo", 1<<20, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) { return req[:10000], nil })
		if _, err := a.Call(testContext(t), b.ID(), "echo", make([]byte, 20000), 1<<20); err != nil {
			t.Fatal(err)
		}
		within := func(n, from int64) bool { return n >= from && n <= from+100 }
		eventually(t, "what was sent over "+listen, func() bool { // a side counts what it wrote after the other may have read it
			x, y := a.Traffic(), b.Traffic()
			up, down := x.Protocols["call/echo"], y.Protocols["call/echo"]
			return x.Peers == 1 && within(up.Out, 20000) && within(down.In, 20000) && within(up.In, 10000) && within(down.Out, 10000) &&
				x.Protocols["gossip"].Out > 5000 && x.Topics["control"].Out == (Count{1, 5000}) && y.Topics["control"].In == (Count{1, 5000})
		})
	}
}

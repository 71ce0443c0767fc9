package gossip

import (
	"context"
	"fmt"
	"testing"

	"drystone/protocol"
)

// However many strangers call, half of the places are there for members; what a peer was when it took a place does not
// matter when it leaves it.
func TestStrangersTakeHalf(t *testing.T) {
	id := func(i int) protocol.PeerID { return protocol.DeriveKey(7, fmt.Sprint(i)).ID() }
	f := newInflight(4, 16)
	if !f.try(id(0)) {
		t.Fatal("no place before anybody is named")
	}
	f.favour(favoured{id(0): "", id(1): ""})
	taken := 0
	for i := 2; i < 10; i++ {
		for f.try(id(i)) {
			taken++
		}
	}
	if taken != 8 {
		t.Errorf("strangers took %d of 16 places, want 8", taken)
	}
	for range 3 {
		if !f.try(id(0)) {
			t.Error("no place for a member")
		}
	}
	if f.try(id(0)) {
		t.Error("a fifth place for one peer")
	}
	f.favour(favoured{id(1): "", id(2): ""}) // 0 has left, 2 has joined
	for range 4 {
		f.done(id(0))
		f.done(id(2))
	}
	if f.strangers != 4 || f.n != 4 || len(f.strange) != 1 {
		t.Errorf("%d places, %d of strangers: %v", f.n, f.strangers, f.strange)
	}
	for range 4 {
		f.done(id(3))
	}
	if f.strangers != 0 || f.n != 0 || len(f.strange) != 0 || len(f.peers) != 0 {
		t.Errorf("left: %d places, %d of strangers, %v", f.n, f.strangers, f.strange)
	}
}

// A member's call is answered while strangers hold all the places that they get.
func TestMemberCallsAmongStrangers(t *testing.T) {
	server, member := newHost(t, 71, nil), newHost(t, 72, nil)
	server.inbound = newInflight(maxInboundPerPeer, 8)
	server.Favour([]protocol.PeerID{member.ID()})
	hang, end := make(chan struct{}, 100), make(chan struct{})
	server.Handle("hang", 0, func(ctx context.Context, _ protocol.PeerID, _ []byte) ([]byte, error) {
		hang <- struct{}{}
		select {
		case <-end:
		case <-ctx.Done():
		}
		return nil, nil
	})
	server.Handle("echo", 10, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) { return req, nil })
	stranger := newHost(t, 73, nil)
	connect(t, stranger, server)
	connect(t, member, server)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			_, _ = stranger.Call(t.Context(), server.ID(), "hang", nil, 10) // answered or cut off at the end
		}()
	}
	for range 4 {
		<-hang
	}
	if _, err := stranger.Call(testContext(t), server.ID(), "echo", []byte("x"), 10); err == nil {
		t.Error("a stranger has a fifth place of eight")
	}
	if got, err := member.Call(testContext(t), server.ID(), "echo", []byte("x"), 10); err != nil || string(got) != "x" {
		t.Errorf("a member's call: %q, %v", got, err)
	}
	close(end)
	for range 4 {
		<-done
	}
}

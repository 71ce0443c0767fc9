package replica

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"drystone/protocol"
)

// maxCalls bounds the streams that one member has open to this one: Raft uses five.
const maxCalls = 16

// caller hears one member: a stream layer of its own, whose streams are all that member's.
type caller struct {
	from  protocol.PeerID
	net   *raft.NetworkTransport
	in    chan net.Conn
	end   chan struct{} // closed by Close
	extra atomic.Int64  // bytes of snapshots that are being read
	calls atomic.Int64
}

var _ raft.StreamLayer = (*caller)(nil)

// listen serves Raft's streams of members; streams of anybody else are closed unread.
func (t *transport) listen() {
	t.layer.streams.HandleStream(streamRaft, func(from protocol.PeerID, c net.Conn) {
		if from == t.layer.self || !t.member(from) {
			c.Close()
			return
		}
		t.accept(from, c)
	})
}

// accept takes a stream of a member.
func (t *transport) accept(from protocol.PeerID, conn net.Conn) {
	c := t.caller(from)
	if c == nil || c.calls.Add(1) > maxCalls {
		if c != nil {
			c.calls.Add(-1)
		}
		conn.Close()
		return
	}
	tracked, err := t.layer.track(conn, func() int64 { return maxRequest + c.extra.Load() })
	if err != nil {
		c.calls.Add(-1)
		return
	}
	select {
	case c.in <- &call{Conn: tracked, c: c}:
	case <-c.end:
		c.calls.Add(-1)
		tracked.Close()
	}
}

// call is a stream of a caller.
type call struct {
	net.Conn
	c      *caller
	closed atomic.Bool
}

func (s *call) Close() error {
	if !s.closed.Swap(true) {
		s.c.calls.Add(-1)
	}
	return s.Conn.Close()
}

// caller returns the one that hears this member, nil after Close.
func (t *transport) caller(from protocol.PeerID) *caller {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.done:
		return nil
	default:
	}
	if c := t.callers[from]; c != nil {
		return c
	}
	for id, c := range t.callers { // who left the council
		if id != t.layer.self && !t.member(id) {
			c.net.Close()
			delete(t.callers, id)
		}
	}
	c := &caller{from: from, in: make(chan net.Conn), end: make(chan struct{})}
	c.net = t.newNetwork(c)
	c.net.SetHeartbeatHandler(func(rpc raft.RPC) { t.heartbeat(from, rpc) })
	t.callers[from] = c
	go t.relay(c)
	return c
}

// relay hands a caller's requests on, one after the other, until it is closed.
func (t *transport) relay(c *caller) {
	for {
		select {
		case rpc := <-c.net.Consumer():
			t.receive(c.from, rpc)
		case <-c.end:
			return
		}
	}
}

// Accept returns the next stream that the member opened.
func (c *caller) Accept() (net.Conn, error) {
	select {
	case conn := <-c.in:
		return conn, nil
	case <-c.end:
		return nil, net.ErrClosed
	}
}

// Close is called once, by the network transport.
func (c *caller) Close() error {
	close(c.end)
	return nil
}

func (c *caller) Addr() net.Addr { return peerAddr(c.from) }

// Dial is not used: calls go through the transport's own network.
func (c *caller) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	return nil, errNotMember
}

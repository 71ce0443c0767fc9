package replica

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"drystone/protocol"
)

// Streams carries bytes between aggregators; gossip.Host implements it. The remote peer of a stream is authenticated.
type Streams interface {
	// HandleStream has fn called, in a goroutine of its own, with each stream that a peer opens under the name. fn owns the
	// stream. A second call with the same name replaces fn.
	HandleStream(name string, fn func(from protocol.PeerID, c net.Conn))
	// OpenStream opens a stream to a peer. ctx bounds the opening only.
	OpenStream(ctx context.Context, to protocol.PeerID, name string) (net.Conn, error)
}

// Names of the streams.
const (
	streamRaft     = "raft/1"     // hashicorp/raft's own protocol
	streamPropose  = "propose/1"  // one proposal, see propose.go
	streamProgress = "progress/1" // how far the answerer is, see elect.go
)

// ioTimeout bounds one exchange on a stream.
const ioTimeout = 10 * time.Second

// maxPipelined bounds the batches of records on their way to one member: with few, a follower far away would hear of its
// leader once per round trip only.
const maxPipelined = 16

// layer is Raft's StreamLayer. A server's address is its peer ID.
type layer struct {
	self    protocol.PeerID
	streams Streams
	in      chan net.Conn
	done    chan struct{} // closed by Close

	mu     sync.Mutex
	closed bool
	open   map[*stream]struct{} // streams in use, either way
}

// stream is a connection that leaves the layer's books when it is closed.
type stream struct {
	net.Conn
	l *layer
}

func (s *stream) Close() error {
	s.l.mu.Lock()
	delete(s.l.open, s)
	s.l.mu.Unlock()
	return s.Conn.Close()
}

// track books a connection; after Close it closes it instead.
func (l *layer) track(c net.Conn) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	s := &stream{Conn: c, l: l}
	l.open[s] = struct{}{}
	return s, nil
}

var _ raft.StreamLayer = (*layer)(nil)

// newLayer serves Raft's streams from whom may says; streams of anybody else are closed unread.
func newLayer(self protocol.PeerID, may func(protocol.PeerID) bool, streams Streams) *layer {
	l := &layer{self: self, streams: streams, in: make(chan net.Conn), done: make(chan struct{}), open: map[*stream]struct{}{}}
	streams.HandleStream(streamRaft, func(from protocol.PeerID, c net.Conn) {
		if !may(from) {
			c.Close()
			return
		}
		select {
		case l.in <- c:
		case <-l.done:
			c.Close()
		}
	})
	return l
}

// Accept returns the next stream that a member opened.
func (l *layer) Accept() (net.Conn, error) {
	select {
	case c := <-l.in:
		return l.track(c)
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and every stream: Raft would leave those that others opened until they close them.
func (l *layer) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	close(l.done)
	streams := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, s := range streams {
		s.Close()
	}
	return nil
}

// Addr returns the own peer ID.
func (l *layer) Addr() net.Addr { return peerAddr(l.self) }

// Dial opens a stream to the member with this peer ID.
func (l *layer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	to, err := protocol.ParsePeerID(string(address))
	if err != nil {
		return nil, fmt.Errorf("dial aggregator: %w", err)
	}
	if to == l.self {
		return l.dialSelf()
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := l.streams.OpenStream(ctx, to, streamRaft)
	if err != nil {
		return nil, err
	}
	return l.track(c)
}

// dialSelf opens a stream to this very member, for elect.go.
func (l *layer) dialSelf() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.in <- far:
		return l.track(near)
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// peerAddr is a peer ID as a net.Addr.
type peerAddr protocol.PeerID

func (p peerAddr) Network() string { return "drystone" }
func (p peerAddr) String() string  { return protocol.PeerID(p).String() }

// transport is Raft's network transport with a gate on its fast path for heartbeats, which runs in the goroutine of the
// stream, knows nothing of Raft's Shutdown, and would write to the closed log after it.
type transport struct {
	*raft.NetworkTransport

	gate sync.RWMutex // held for reading by each heartbeat
	shut bool
}

// SetHeartbeatHandler is called once, by raft.NewRaft.
func (t *transport) SetHeartbeatHandler(fn func(raft.RPC)) {
	t.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		t.gate.RLock()
		defer t.gate.RUnlock()
		if t.shut {
			rpc.Respond(nil, raft.ErrRaftShutdown)
			return
		}
		fn(rpc)
	})
}

// Close waits for heartbeats under way, refuses later ones, and closes the streams.
func (t *transport) Close() error {
	t.gate.Lock()
	t.shut = true
	t.gate.Unlock()
	return t.NetworkTransport.Close()
}

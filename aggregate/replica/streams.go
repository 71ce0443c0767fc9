package replica

import (
	"context"
	"fmt"
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
	streamRaft    = "raft/1"    // hashicorp/raft's own protocol
	streamPropose = "propose/1" // one proposal, see propose.go
)

// ioTimeout bounds one exchange on a stream.
const ioTimeout = 10 * time.Second

// layer is Raft's StreamLayer. A server's address is its peer ID.
type layer struct {
	self    protocol.PeerID
	streams Streams
	in      chan net.Conn
	done    chan struct{}
	once    sync.Once
}

var _ raft.StreamLayer = (*layer)(nil)

// newLayer serves Raft's streams from members; streams of anybody else are closed unread.
func newLayer(self protocol.PeerID, members []protocol.PeerID, streams Streams) *layer {
	l := &layer{self: self, streams: streams, in: make(chan net.Conn), done: make(chan struct{})}
	streams.HandleStream(streamRaft, func(from protocol.PeerID, c net.Conn) {
		if !slices.Contains(members, from) {
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
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *layer) Close() error {
	l.once.Do(func() { close(l.done) })
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
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return l.streams.OpenStream(ctx, to, streamRaft)
}

// peerAddr is a peer ID as a net.Addr.
type peerAddr protocol.PeerID

func (p peerAddr) Network() string { return "drystone" }
func (p peerAddr) String() string  { return protocol.PeerID(p).String() }

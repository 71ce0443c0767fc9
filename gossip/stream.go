package gossip

import (
	"context"
	"fmt"
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// HandleStream serves raw streams of this name, such as Raft's. fn owns conn, runs in a goroutine of its own, may keep
// conn after it returns, and must close it. conn counts towards the peer's limit of 16 until then; what exceeds that is
// reset. Host.Close ends every conn and waits for fn to return.
func (h *Host) HandleStream(name string, fn func(from protocol.PeerID, conn net.Conn)) {
	h.lib.SetStreamHandler(h.protocolID("stream", name), func(s network.Stream) {
		if !h.begin() {
			s.Reset()
			return
		}
		defer h.tasks.Done()
		from, err := PeerIDToProtocol(s.Conn().RemotePeer())
		if err != nil {
			s.Reset()
			return
		}
		if !h.inbound.try(from) {
			h.cfg.Logger.Warn("stream refused: too many are open", "stream", name, "peer", from)
			s.Reset()
			return
		}
		conn := &streamConn{Stream: s, onClose: func() { h.inbound.done(from) }}
		defer func() {
			if p := recover(); p != nil {
				h.cfg.Logger.Error("stream handler panicked", "stream", name, "peer", from, "panic", p)
				conn.Close()
			}
		}()
		fn(from, conn)
	})
}

// OpenStream opens a raw stream to a peer, dialling it if an address is known. ctx bounds the opening only. The caller
// closes the conn; a peer that does not serve this name fails the first read.
func (h *Host) OpenStream(ctx context.Context, to protocol.PeerID, name string) (net.Conn, error) {
	s, err := h.openStream(ctx, to, h.protocolID("stream", name))
	if err != nil {
		return nil, fmt.Errorf("gossip: open stream %s to %s: %w", name, to.Short(), err)
	}
	return &streamConn{Stream: s, onClose: func() {}}, nil
}

// streamConn is a libp2p stream as a net.Conn. Deadlines and half-reads are the stream's own.
type streamConn struct {
	network.Stream
	once    sync.Once
	onClose func()
}

var _ net.Conn = (*streamConn)(nil)

// Close ends both directions. What was written before still arrives.
func (c *streamConn) Close() error {
	defer c.once.Do(c.onClose)
	return c.Stream.Close()
}

// Reset ends both directions at once and drops what is on its way.
func (c *streamConn) Reset() error {
	defer c.once.Do(c.onClose)
	return c.Stream.Reset()
}

func (c *streamConn) LocalAddr() net.Addr  { return peerAddr(c.Stream.Conn().LocalPeer()) }
func (c *streamConn) RemoteAddr() net.Addr { return peerAddr(c.Stream.Conn().RemotePeer()) }

// peerAddr is a peer ID as a net.Addr.
type peerAddr peer.ID

func (a peerAddr) Network() string { return "libp2p" }
func (a peerAddr) String() string  { return peer.ID(a).String() }

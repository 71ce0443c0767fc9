package replica

import (
	"context"
	"errors"
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

// Bytes that one side may send on a Raft stream before the other answers: a batch of records and what its reader takes ahead,
// and the answers to maxPipelined batches.
const (
	maxRequest = maxBatch*(1<<20+1<<10) + 512<<10
	maxAnswers = 64 << 10
)

var errFlood = errors.New("more bytes than a Raft message has")

// layer opens Raft's streams to others, and ends all streams when it closes. A server's address is its peer ID.
type layer struct {
	self    protocol.PeerID
	streams Streams
	toSelf  func(net.Conn) // takes a stream that this member opens to itself
	done    chan struct{}  // closed by Close

	mu     sync.Mutex
	closed bool
	open   map[*stream]struct{} // streams in use, either way
}

// stream is a connection that leaves the layer's books when it is closed, and that fails when the other side sends more
// than allowed before it gets an answer.
type stream struct {
	net.Conn
	l       *layer
	allowed func() int64

	mu   sync.Mutex
	read int64 // since the last write
}

func (s *stream) Close() error {
	s.l.mu.Lock()
	delete(s.l.open, s)
	s.l.mu.Unlock()
	return s.Conn.Close()
}

func (s *stream) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.read += int64(n); s.read > s.allowed() {
		return 0, errFlood
	}
	return n, err
}

func (s *stream) Write(b []byte) (int, error) {
	s.mu.Lock()
	s.read = 0
	s.mu.Unlock()
	return s.Conn.Write(b)
}

// track books a connection; after Close it closes it instead.
func (l *layer) track(c net.Conn, allowed func() int64) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		c.Close()
		return nil, net.ErrClosed
	}
	s := &stream{Conn: c, l: l, allowed: allowed}
	l.open[s] = struct{}{}
	return s, nil
}

var _ raft.StreamLayer = (*layer)(nil)

func newLayer(self protocol.PeerID, streams Streams, toSelf func(net.Conn)) *layer {
	return &layer{self: self, streams: streams, toSelf: toSelf, done: make(chan struct{}), open: map[*stream]struct{}{}}
}

// Accept waits for the end: who calls is heard by a caller of its own.
func (l *layer) Accept() (net.Conn, error) {
	<-l.done
	return nil, net.ErrClosed
}

// Close ends every stream: Raft would leave those that others opened until they close them.
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
	answers := func() int64 { return maxAnswers }
	if to == l.self { // for elect.go
		near, far := net.Pipe()
		s, err := l.track(near, answers)
		if err == nil {
			l.toSelf(far)
		}
		return s, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	c, err := l.streams.OpenStream(ctx, to, streamRaft)
	if err != nil {
		return nil, err
	}
	return l.track(c, answers)
}

// peerAddr is a peer ID as a net.Addr.
type peerAddr protocol.PeerID

func (p peerAddr) Network() string { return "drystone" }
func (p peerAddr) String() string  { return protocol.PeerID(p).String() }

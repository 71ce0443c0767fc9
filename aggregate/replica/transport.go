package replica

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// transport is what Raft talks through. It calls all members through one of Raft's network transports, and hears each of
// them through another, so that a request is known to come from the member whose stream it was read from. Requests and
// answers pass through a check before Raft sees them: Raft believes whoever speaks to it, and panics at much that it
// cannot read.
type transport struct {
	*raft.NetworkTransport // calls
	check                  *check
	layer                  *layer
	logger                 hclog.Logger
	member                 func(protocol.PeerID) bool // may call
	ready                  <-chan struct{}            // closed when Raft runs, or never will
	moved                  func() <-chan struct{}     // closed at the machine's next change
	in                     chan raft.RPC              // to Raft
	done                   chan struct{}              // closed by Close

	turn chan struct{} // holds one from a request's check until Raft has answered, so that nothing moves between

	gate sync.RWMutex // held for reading by each heartbeat
	shut bool
	fast func(raft.RPC) // Raft's own handler of heartbeats

	mu      sync.Mutex // guards callers
	callers map[protocol.PeerID]*caller
}

// waitForMachine is how long a change of the group that this member cannot judge yet is put off at most.
const waitForMachine = 100 * time.Millisecond

var errNotMember = errors.New("not a member")

func newTransport(self protocol.PeerID, streams Streams, logger hclog.Logger, c *check) *transport {
	t := &transport{check: c, logger: logger, in: make(chan raft.RPC), turn: make(chan struct{}, 1), done: make(chan struct{}), callers: map[protocol.PeerID]*caller{}}
	t.layer = newLayer(self, streams, func(far net.Conn) { t.accept(self, far) })
	t.NetworkTransport = t.newNetwork(t.layer)
	return t
}

func (t *transport) newNetwork(s raft.StreamLayer) *raft.NetworkTransport {
	return raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Logger: t.logger, Stream: s, MaxPool: 2, MaxRPCsInFlight: maxPipelined, Timeout: ioTimeout})
}

// Consumer gives Raft the requests that passed.
func (t *transport) Consumer() <-chan raft.RPC { return t.in }

// SetHeartbeatHandler is called once, by raft.NewRaft.
func (t *transport) SetHeartbeatHandler(fn func(raft.RPC)) {
	t.gate.Lock()
	defer t.gate.Unlock()
	t.fast = fn
}

// heartbeat takes a heartbeat of the present leader past whatever Raft is at. The fast path runs in the goroutine of the
// stream and knows nothing of Raft's Shutdown, after which it would write to the closed log: hence the gate. One that
// raises the term changes Raft's state, which belongs to Raft's own goroutine, and goes the long way.
func (t *transport) heartbeat(from protocol.PeerID, rpc raft.RPC) {
	if !t.open() {
		rpc.Respond(nil, raft.ErrRaftShutdown)
		return
	}
	t.gate.RLock()
	defer t.gate.RUnlock()
	req, ok := rpc.Command.(*raft.AppendEntriesRequest)
	switch {
	case t.shut:
		rpc.Respond(nil, raft.ErrRaftShutdown)
	case ok && t.fast != nil && t.check.follows(from, req):
		t.fast(rpc)
	default:
		go t.receive(from, rpc) // ends with Close
	}
}

// open waits until Raft runs, and reports false if it is over.
func (t *transport) open() bool {
	select {
	case <-t.ready:
	case <-t.done:
	}
	select {
	case <-t.done:
		return false
	default:
		return true
	}
}

// receive has a request checked and answered.
func (t *transport) receive(from protocol.PeerID, rpc raft.RPC) {
	if !t.open() {
		return
	}
	if req, ok := rpc.Command.(*raft.InstallSnapshotRequest); ok {
		body, err := t.readSnapshot(from, req, rpc.Reader)
		if err != nil {
			t.refuse(from, rpc, err)
			return
		}
		rpc.Reader = body
	}
	if put := t.pass(from, rpc); put {
		select {
		case <-t.moved():
		case <-time.After(waitForMachine):
		case <-t.done:
		}
	}
}

// pass hands a request that passes the check to Raft and its answer back. It reports whether a part was put off.
func (t *transport) pass(from protocol.PeerID, rpc raft.RPC) (put bool) {
	select {
	case t.turn <- struct{}{}:
	case <-t.done:
		return false
	}
	defer func() { <-t.turn }()
	dropped, err := t.check.request(from, rpc.Command)
	if err != nil {
		t.refuse(from, rpc, err)
		return false
	}
	answer := make(chan raft.RPCResponse, 1)
	select {
	case t.in <- raft.RPC{Command: rpc.Command, Reader: rpc.Reader, RespChan: answer}:
	case <-t.done:
		return false
	}
	select {
	case a := <-answer:
		if resp, ok := a.Response.(*raft.AppendEntriesResponse); ok && dropped > 0 && resp.Success {
			resp.Success, resp.NoRetryBackoff = false, true
			put = true
		}
		rpc.Respond(a.Response, a.Error)
	case <-t.done:
	}
	return put
}

func (t *transport) refuse(from protocol.PeerID, rpc raft.RPC, err error) {
	t.logger.Warn("refused a message", "from", from.Short(), "err", err)
	rpc.Respond(nil, err)
}

// readSnapshot reads a whole snapshot and checks it, before Raft stores it over one that is good.
func (t *transport) readSnapshot(from protocol.PeerID, req *raft.InstallSnapshotRequest, r io.Reader) (io.Reader, error) {
	if err := t.check.snapshot(from, req); err != nil {
		return nil, err
	}
	if c := t.caller(from); c != nil {
		c.extra.Add(req.Size)
		defer c.extra.Add(-req.Size)
	}
	body, err := io.ReadAll(io.LimitReader(r, aggregate.MaxSnapshot))
	if err != nil {
		return nil, fmt.Errorf("read snapshot: %w", err)
	}
	return t.check.state(req, body)
}

// Close waits for heartbeats under way, refuses later ones, and closes the streams.
func (t *transport) Close() error {
	t.gate.Lock()
	if t.shut {
		t.gate.Unlock()
		return nil
	}
	t.shut = true
	t.gate.Unlock()
	close(t.done)
	t.mu.Lock()
	for _, c := range t.callers {
		c.net.Close()
	}
	t.mu.Unlock()
	return errors.Join(t.NetworkTransport.Close(), t.layer.Close())
}

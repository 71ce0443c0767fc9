package replica

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// stand is a position that tests set.
type stand struct {
	now       uint64 // term
	log0      []raft.Log
	commit    uint64
	led       protocol.PeerID
	heard     bool
	sets      [][]protocol.PeerID
	base      raft.Configuration
	newborn   func() (*aggregate.Machine, error)
	leaves    uint64
	leavesSum protocol.Digest
}

func (s *stand) term() uint64      { return s.now }
func (s *stand) last() uint64      { return uint64(len(s.log0)) }
func (s *stand) committed() uint64 { return s.commit }
func (s *stand) entry(i uint64) (raft.Log, bool) {
	if i < 1 || i > uint64(len(s.log0)) {
		return raft.Log{}, false
	}
	return s.log0[i-1], true
}
func (s *stand) leader() (protocol.PeerID, bool)    { return s.led, s.led != protocol.PeerID{} }
func (s *stand) hears() bool                        { return s.heard }
func (s *stand) before(uint64) raft.Configuration   { return s.base }
func (s *stand) councils() [][]protocol.PeerID      { return s.sets }
func (s *stand) founders() raft.Configuration       { return s.base }
func (s *stand) fresh() (*aggregate.Machine, error) { return s.newborn() }
func (s *stand) log() (uint64, protocol.Digest)     { return s.leaves, s.leavesSum }

func group4(w *aggtest.World) (c raft.Configuration) {
	for _, id := range w.Members() {
		c.Servers = append(c.Servers, raft.Server{ID: serverID(id), Address: raft.ServerAddress(id.String())})
	}
	return c
}

// newStand is a member in term 5 whose log has 3 entries, the first two committed.
func newStand() (*stand, *check, *aggtest.World) {
	w := aggtest.New(short)
	s := &stand{now: 5, commit: 2, base: group4(w), sets: [][]protocol.PeerID{w.Members()},
		newborn: func() (*aggregate.Machine, error) { return aggregate.New(w.Config()) }}
	s.log0 = []raft.Log{{Index: 1, Term: 1, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(s.base)}, {Index: 2, Term: 4, Type: raft.LogNoop}, {Index: 3, Term: 4}}
	return s, newCheck(w.Aggs[0].ID(), s), w
}

// The group changes by one vote at a time, towards a council that may rule; a change that this member cannot judge yet is
// put off, with all that follows, and what is before it is taken.
func TestConfigurations(t *testing.T) {
	s, c, w := newStand()
	ids, spare := w.Members(), w.Spares[0].ID()
	server := func(id protocol.PeerID, sf raft.ServerSuffrage) raft.Server {
		return raft.Server{ID: serverID(id), Address: raft.ServerAddress(id.String()), Suffrage: sf}
	}
	four := s.base.Servers
	with := func(more ...raft.Server) raft.Configuration {
		return raft.Configuration{Servers: append(slices.Clone(four), more...)}
	}
	changed := append(slices.Clone(ids[:3]), spare)
	for _, tt := range []struct {
		name string
		sets [][]protocol.PeerID
		conf raft.Configuration
		want bool
	}{
		{"the same", nil, with(), true},
		{"an observer", nil, with(server(w.Peers[0].ID(), raft.Nonvoter)), true},
		{"a stranger's vote", nil, with(server(w.Peers[0].ID(), raft.Voter)), false},
		{"a newcomer's vote", [][]protocol.PeerID{ids, changed}, with(server(spare, raft.Voter)), true},
		{"a vote before its council", nil, with(server(spare, raft.Voter)), false},
		{"a member loses its vote", nil, raft.Configuration{Servers: four[1:]}, false},
		{"a former member does", [][]protocol.PeerID{changed, ids}, raft.Configuration{Servers: four[:3]}, true},
		{"one vote for another", [][]protocol.PeerID{changed, ids}, raft.Configuration{Servers: append(slices.Clone(four[:3]), server(spare, raft.Voter))}, false},
		{"a group of one", [][]protocol.PeerID{changed, ids}, raft.Configuration{Servers: four[:1]}, false},
	} {
		s.sets = [][]protocol.PeerID{ids}
		if tt.sets != nil {
			s.sets = tt.sets
		}
		s.base.Servers = four
		req := &raft.AppendEntriesRequest{RPCHeader: headerOf(ids[1]), Term: 6, PrevLogEntry: 3, PrevLogTerm: 4, LeaderCommitIndex: 6, Entries: []*raft.Log{
			{Index: 4, Term: 6, Data: []byte("x")},
			{Index: 5, Term: 6, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(tt.conf)},
			{Index: 6, Term: 6, Data: []byte("y")},
		}}
		dropped, err := c.request(ids[1], req)
		want := 0
		if !tt.want {
			want = 2
		}
		if err != nil || dropped != want || len(req.Entries) != 3-want || req.LeaderCommitIndex != uint64(6-want) {
			t.Errorf("%s: %d dropped, %d left, commit %d, %v", tt.name, dropped, len(req.Entries), req.LeaderCommitIndex, err)
		}
	}
}

// A member that a handover has deposed is not told from a liar, so the right to do it comes back with time, and terms that
// depose nobody are free.
func TestDeposals(t *testing.T) {
	s, c, w := newStand()
	ids := w.Members()
	s.led, s.heard = ids[2], true
	for n := range 3 * maxDeposals {
		if err := c.depose(ids[1], 6); (err == nil) != (n < maxDeposals) {
			t.Fatalf("deposal %d: %v", n, err)
		}
	}
	if err := c.depose(ids[3], 6); err != nil {
		t.Errorf("another one: %v", err)
	}
	if err := c.depose(ids[2], 6); err != nil {
		t.Errorf("the leader itself: %v", err)
	}
	s.heard = false
	if err := c.depose(ids[1], 6); err != nil {
		t.Errorf("without a leader: %v", err)
	}
	s.heard = true
	c.deposals[ids[1]] = deposal{used: maxDeposals, since: time.Now().Add(-deposeAgain)}
	if err := c.depose(ids[1], 6); err != nil {
		t.Errorf("after a while: %v", err)
	}
	for _, term := range []uint64{5 + maxTermStep + 1, maxTerm + 1} {
		if err := c.depose(ids[2], term); !errors.Is(err, errForged) {
			t.Errorf("term %d: %v", term, err)
		}
	}
}

// FuzzRequests reads a stream as a member's: whatever it holds, nothing that passes can make Raft panic or lose committed
// entries, by the list in decision 0024.
func FuzzRequests(f *testing.F) {
	for _, seed := range requestSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		s, c, w := newStand()
		from := w.Members()[1]
		near, far := net.Pipe()
		streams := newNetwork(false)
		tr := newTransport(w.Members()[0], port{streams, w.Members()[0]}, hclog.NewNullLogger(), c)
		ready := make(chan struct{})
		close(ready)
		tr.member, tr.ready = func(id protocol.PeerID) bool { return id == from }, ready
		tr.moved = func() <-chan struct{} { return ready }
		go func() {
			near.Write(data)
			near.Close()
		}()
		go io.Copy(io.Discard, near)
		closed := make(chan struct{})
		tr.accept(from, watched{far, closed})
		for {
			select {
			case rpc := <-tr.Consumer():
				passed(t, s, rpc)
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
				continue
			case <-closed:
			}
			break
		}
		tr.Close()
	})
}

// watched says when it is closed.
type watched struct {
	net.Conn
	closed chan struct{}
}

func (w watched) Close() error {
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return w.Conn.Close()
}

// passed holds a request that passed against what Raft takes for granted.
func passed(t *testing.T, s *stand, rpc raft.RPC) {
	t.Helper()
	switch req := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		if req.Term > s.now+maxTermStep {
			t.Fatalf("term %d", req.Term)
		}
		for i, e := range req.Entries {
			if e.Index != req.PrevLogEntry+1+uint64(i) || e.Index <= s.commit && e.Term != s.log0[e.Index-1].Term {
				t.Fatalf("entry %d of term %d after %d", e.Index, e.Term, req.PrevLogEntry)
			}
			switch e.Type {
			case raft.LogConfiguration:
				raft.DecodeConfiguration(e.Data)
			case raft.LogCommand, raft.LogNoop, raft.LogBarrier:
			default:
				t.Fatalf("type %d", e.Type)
			}
		}
	case *raft.InstallSnapshotRequest:
		raft.DecodeConfiguration(req.Configuration)
		b, err := io.ReadAll(rpc.Reader)
		if m, _ := s.newborn(); err != nil || m.Restore(b) != nil || req.LastLogIndex < 3 {
			t.Fatalf("snapshot at %d of %d bytes: %v", req.LastLogIndex, len(b), err)
		}
	}
}

// requestSeeds are one message of each kind, as Raft writes them.
func requestSeeds(f *testing.F) (seeds [][]byte) {
	s, _, w := newStand()
	from := w.Members()[1]
	m, err := s.newborn()
	if err != nil {
		f.Fatal(err)
	}
	state, err := m.Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	for _, send := range []func(n *raft.NetworkTransport) error{
		func(n *raft.NetworkTransport) error {
			return n.AppendEntries("x", "x", &raft.AppendEntriesRequest{RPCHeader: headerOf(from), Term: 6, PrevLogEntry: 3, PrevLogTerm: 4, LeaderCommitIndex: 4, Entries: []*raft.Log{
				{Index: 4, Term: 6, Data: []byte("record")}, {Index: 5, Term: 6, Type: raft.LogConfiguration, Data: raft.EncodeConfiguration(s.base)}}}, &raft.AppendEntriesResponse{})
		},
		func(n *raft.NetworkTransport) error {
			return n.RequestVote("x", "x", &raft.RequestVoteRequest{RPCHeader: headerOf(from), Term: 6, LastLogIndex: 3, LastLogTerm: 4}, &raft.RequestVoteResponse{})
		},
		func(n *raft.NetworkTransport) error {
			return n.RequestPreVote("x", "x", &raft.RequestPreVoteRequest{RPCHeader: headerOf(from), Term: 6, LastLogIndex: 3, LastLogTerm: 4}, &raft.RequestPreVoteResponse{})
		},
		func(n *raft.NetworkTransport) error {
			return n.InstallSnapshot("x", "x", &raft.InstallSnapshotRequest{RPCHeader: headerOf(from), SnapshotVersion: 1, Term: 6, LastLogIndex: 9, LastLogTerm: 6,
				Configuration: raft.EncodeConfiguration(s.base), ConfigurationIndex: 1, Size: int64(len(state))}, &raft.InstallSnapshotResponse{}, bytes.NewReader(state))
		},
	} {
		r := &recorder{done: make(chan struct{})}
		n := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: r, MaxPool: 1, Logger: hclog.NewNullLogger()})
		send(n) // fails for want of an answer
		n.Close()
		seeds = append(seeds, r.Bytes())
	}
	return seeds
}

// recorder is a stream layer whose one stream records what is written and answers nothing.
type recorder struct {
	bytes.Buffer
	done chan struct{}
}

func (r *recorder) Accept() (net.Conn, error) { <-r.done; return nil, net.ErrClosed }
func (r *recorder) Close() error              { close(r.done); return nil }
func (r *recorder) Addr() net.Addr            { return peerAddr{} }
func (r *recorder) Dial(raft.ServerAddress, time.Duration) (net.Conn, error) {
	near, far := net.Pipe()
	far.Close()
	return recording{near, r}, nil
}

type recording struct {
	net.Conn
	r *recorder
}

func (c recording) Write(b []byte) (int, error) { return c.r.Write(b) }

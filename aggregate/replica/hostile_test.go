package replica

import (
	"bytes"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// liar is a council member that speaks Raft's protocol as it likes.
type liar struct {
	*raft.NetworkTransport
	g    *group
	me   protocol.PeerID
	done chan struct{}
}

func newLiar(g *group, i int) *liar {
	l := &liar{g: g, me: g.keys[i].ID(), done: make(chan struct{})}
	l.NetworkTransport = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{Stream: l, MaxPool: 1, Timeout: 10 * time.Second, Logger: hclog.NewNullLogger()})
	g.t.Cleanup(func() { l.NetworkTransport.Close() })
	return l
}

func (l *liar) Accept() (net.Conn, error) {
	<-l.done
	return nil, net.ErrClosed
}
func (l *liar) Close() error   { close(l.done); return nil }
func (l *liar) Addr() net.Addr { return peerAddr(l.me) }
func (l *liar) Dial(to raft.ServerAddress, _ time.Duration) (net.Conn, error) {
	id, err := protocol.ParsePeerID(string(to))
	if err != nil {
		return nil, err
	}
	return port{l.g.net, l.me}.OpenStream(l.g.ctx(), id, streamRaft)
}

func headerOf(id protocol.PeerID) raft.RPCHeader {
	return raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(id.String()), Addr: []byte(id.String())}
}

// append sends entries to a member.
func (l *liar) append(to protocol.PeerID, req raft.AppendEntriesRequest) (resp raft.AppendEntriesResponse, err error) {
	if req.ID == nil {
		req.RPCHeader = headerOf(l.me)
	}
	err = l.AppendEntries(serverID(to), raft.ServerAddress(to.String()), &req, &resp)
	return resp, err
}

// One lying member sends whatever makes Raft panic, lose what it has, follow a false group or end its terms. Nobody takes
// any of it; the group goes on, in its old term, and the member that was lied to holds the same state.
func TestLyingMember(t *testing.T) {
	g := newGroup(t, false, short)
	g.begin()
	g.settle()
	lead := g.leader()
	victim, bad := (lead+1)%4, (lead+2)%4
	to, l, v := g.keys[victim].ID(), newLiar(g, bad), g.reps[victim].raft
	for v.CommitIndex() < v.LastIndex() {
		<-poll()
	}
	term, last := v.CurrentTerm(), v.LastIndex()
	var tail raft.Log
	if err := g.reps[victim].store.GetLog(last, &tail); err != nil {
		t.Fatal(err)
	}
	mine := raft.EncodeConfiguration(raft.Configuration{Servers: []raft.Server{{ID: serverID(l.me), Address: raft.ServerAddress(l.me.String())}}})
	entry := func(e raft.Log) raft.AppendEntriesRequest {
		e.Index, e.Term = last+1, term+1
		return raft.AppendEntriesRequest{Term: term + 1, PrevLogEntry: last, PrevLogTerm: tail.Term, Entries: []*raft.Log{&e}}
	}
	with := func(r raft.AppendEntriesRequest, change func(*raft.AppendEntriesRequest)) raft.AppendEntriesRequest {
		change(&r)
		return r
	}
	for name, req := range map[string]raft.AppendEntriesRequest{
		"no entry":                     {Term: term + 1, PrevLogEntry: last, PrevLogTerm: tail.Term, Entries: []*raft.Log{nil}},
		"an unknown type":              entry(raft.Log{Type: 77}),
		"a type of the first protocol": entry(raft.Log{Type: raft.LogAddPeerDeprecated, Data: []byte{0xc1}}),
		"an unreadable configuration":  entry(raft.Log{Type: raft.LogConfiguration, Data: []byte{0xc1}}),
		"deep nesting":                 entry(raft.Log{Type: raft.LogConfiguration, Data: bytes.Repeat([]byte{0x91}, maxConfiguration)}),
		"too large an entry":           entry(raft.Log{Type: raft.LogCommand, Data: make([]byte, aggregate.MaxRecord+1)}),
		"too many entries":             with(entry(raft.Log{}), func(r *raft.AppendEntriesRequest) { r.Entries = make([]*raft.Log, maxBatch+1) }),
		"a gap":                        with(entry(raft.Log{}), func(r *raft.AppendEntriesRequest) { r.Entries[0].Index++ }),
		"from the beginning":           {Term: term + 1, Entries: []*raft.Log{{Index: 1, Term: term + 1}}},
		"committed entries": {Term: term + 1, PrevLogEntry: last - 1, PrevLogTerm: tail.Term,
			Entries: []*raft.Log{{Index: last, Term: term + 1, Data: []byte("other")}}},
		"the last term":  with(entry(raft.Log{}), func(r *raft.AppendEntriesRequest) { r.Term = math.MaxUint64 }),
		"a distant term": with(entry(raft.Log{}), func(r *raft.AppendEntriesRequest) { r.Term = term + maxTermStep + 1 }),
		"a second leader": with(entry(raft.Log{}), func(r *raft.AppendEntriesRequest) {
			r.Term, r.Entries[0].Term = term, term
		}),
		"another's name":                with(entry(raft.Log{}), func(r *raft.AppendEntriesRequest) { r.RPCHeader = headerOf(g.keys[lead].ID()) }),
		"another's name in a heartbeat": {RPCHeader: headerOf(g.keys[lead].ID()), Term: term + 1},
	} {
		if resp, err := l.append(to, req); err == nil {
			t.Errorf("%s: taken, success %v", name, resp.Success)
		} else if !strings.Contains(err.Error(), errForged.Error()) {
			t.Errorf("%s: refused for another reason: %v", name, err)
		}
	}
	snap := func(change func(*raft.InstallSnapshotRequest), body []byte, size int64) error {
		req := raft.InstallSnapshotRequest{RPCHeader: headerOf(l.me), SnapshotVersion: 1, Term: term + 1, LastLogIndex: last + 10, LastLogTerm: term + 1,
			Configuration: raft.EncodeConfiguration(g.reps[victim].membership()), ConfigurationIndex: 1, Size: size}
		change(&req)
		return l.InstallSnapshot(serverID(to), raft.ServerAddress(to.String()), &req, &raft.InstallSnapshotResponse{}, bytes.NewReader(body))
	}
	state := snapshotOf(t, g.reps[victim])
	for name, change := range map[string]func(*raft.InstallSnapshotRequest){
		"an unreadable configuration": func(r *raft.InstallSnapshotRequest) { r.Configuration = []byte{0xc1} },
		"an earlier entry":            func(r *raft.InstallSnapshotRequest) { r.LastLogIndex = last - 1 },
		"the last entry of all":       func(r *raft.InstallSnapshotRequest) { r.LastLogIndex = math.MaxUint64 },
		"no end":                      func(r *raft.InstallSnapshotRequest) { r.Size = aggregate.MaxSnapshot + 1 },
		"a negative size":             func(r *raft.InstallSnapshotRequest) { r.Size = -1 },
		"the first version":           func(r *raft.InstallSnapshotRequest) { r.SnapshotVersion = 0 },
	} {
		if snap(change, nil, 1000) == nil { // refused before its bytes
			t.Errorf("snapshot with %s: taken", name)
		}
	}
	if junk := bytes.Repeat([]byte("no state"), 100); snap(func(*raft.InstallSnapshotRequest) {}, junk, int64(len(junk))) == nil {
		t.Error("a snapshot without a state: taken")
	}
	if snap(func(r *raft.InstallSnapshotRequest) { r.Configuration = mine }, state, int64(len(state))) == nil {
		t.Error("a snapshot with a group of one: taken")
	}
	if l.TimeoutNow(serverID(to), raft.ServerAddress(to.String()), &raft.TimeoutNowRequest{RPCHeader: headerOf(l.me)}, &raft.TimeoutNowResponse{}) == nil {
		t.Error("the lead was handed over by who has it not")
	}
	var vote raft.RequestVoteResponse
	if l.RequestVote(serverID(to), raft.ServerAddress(to.String()), &raft.RequestVoteRequest{RPCHeader: headerOf(l.me), Term: math.MaxUint64, LeadershipTransfer: true}, &vote) == nil {
		t.Error("a vote in the last term was heard")
	}
	g.propose(victim, g.w.Join(0, 7))
	g.settle()
	if now := v.CurrentTerm(); now != term {
		t.Errorf("term %d after %d", now, term)
	}
	if !bytes.Equal(snapshotOf(t, g.reps[victim]), snapshotOf(t, g.reps[lead])) {
		t.Error("another state")
	}
	if n := len(voters(v.GetConfiguration().Configuration())); n != 4 {
		t.Errorf("%d voters", n)
	}
}

// A member that calls an election after the other, with the flag of a handover, deposes a leader who is heard a few times
// and then waits like everybody else: the run goes on.
func TestDeposalsAreBounded(t *testing.T) {
	g := newGroup(t, false, short)
	g.begin()
	lead := g.leader()
	l := newLiar(g, (lead+1)%4)
	refused := false
	for ctx := g.ctx(); !refused; <-poll() {
		if ctx.Err() != nil {
			t.Fatal("never refused")
		}
		for i, r := range g.reps {
			if i == (lead+1)%4 {
				continue
			}
			to := g.keys[i].ID()
			var vote raft.RequestVoteResponse
			err := l.RequestVote(serverID(to), raft.ServerAddress(to.String()), &raft.RequestVoteRequest{RPCHeader: headerOf(l.me), Term: r.raft.CurrentTerm() + 1, LeadershipTransfer: true}, &vote)
			if err != nil && strings.Contains(err.Error(), "lately") {
				refused = true
			}
		}
	}
	g.propose(lead, g.w.Join(0, 9))
	g.settle()
}

// A snapshot that never ends, and a member that opens streams without end, hold up nobody else.
func TestStalledSnapshot(t *testing.T) {
	g := newGroup(t, false, short)
	g.begin()
	lead := g.leader()
	victim := (lead + 1) % 4
	to, l := g.keys[victim].ID(), newLiar(g, (lead+2)%4)
	v := g.reps[victim].raft
	stalled, end := net.Pipe()
	defer end.Close()
	go func() { // ends with the streams
		req := raft.InstallSnapshotRequest{RPCHeader: headerOf(l.me), SnapshotVersion: 1, Term: v.CurrentTerm() + 1, LastLogIndex: v.LastIndex() + 1000, LastLogTerm: v.CurrentTerm() + 1,
			Configuration: raft.EncodeConfiguration(g.reps[victim].membership()), ConfigurationIndex: 1, Size: 1 << 20}
		l.InstallSnapshot(serverID(to), raft.ServerAddress(to.String()), &req, &raft.InstallSnapshotResponse{}, stalled)
	}()
	for range 3 * maxCalls {
		if c, err := l.Dial(raft.ServerAddress(to.String()), time.Second); err == nil {
			defer c.Close()
		}
	}
	for n := range 5 {
		g.propose(victim, g.w.Join(0, uint64(n)+20))
	}
	g.settle()
}

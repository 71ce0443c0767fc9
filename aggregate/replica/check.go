package replica

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// Raft believes its members. It panics at a configuration that it cannot decode, at an entry of a type that it does not
// know, at one that is missing; takes over any term; truncates what it has applied; and stores a snapshot before it looks
// at it. A check refuses whatever no honest Raft sends, so that a lying member can hold the others up and no more; decision
// 0024 lists each panic with what keeps it away.

const (
	// maxBatch is how many entries one message holds; see raftConfig.
	maxBatch = 16
	// maxTermStep is how far one message may raise the term. An election raises it by one, at most once in Timing.Election,
	// and pre-votes keep a member that is cut off from raising it alone: 16 million terms are nine months of nothing else.
	maxTermStep = 1 << 24
	// maxTerm and maxIndex are out of reach: a liar would need 2^38 steps, each a write to this disk, and 2^62 records.
	maxTerm, maxIndex = 1 << 62, 1 << 62
	// A member may depose leaders that this one hears: so many times, and again once in deposeAgain. A handover takes one.
	maxDeposals = 4
	deposeAgain = 10 * time.Second
	// maxConfiguration bounds a configuration, in bytes.
	maxConfiguration = 64 << 10
)

var errForged = errors.New("no honest member sends this")

// position is where this member's Raft stands.
type position interface {
	term() uint64
	last() uint64                           // index of the last entry
	committed() uint64                      // index up to which entries are known to be committed
	entry(index uint64) (raft.Log, bool)    // of the log, if it is there still
	leader() (protocol.PeerID, bool)        // of this term
	hears() bool                            // leads, or heard the leader within Timing.Silence
	before(index uint64) raft.Configuration // the newest one of an entry before the index
	councils() [][]protocol.PeerID          // that may rule: certified, logged, logged before
	founders() raft.Configuration
	fresh() (*aggregate.Machine, error) // a machine without state
	log() (size uint64, root protocol.Digest)
}

// check judges messages for one member. request is for one goroutine at a time; the rest is safe for concurrent use.
type check struct {
	self protocol.PeerID
	at   position

	mu       sync.Mutex // guards deposals
	deposals map[protocol.PeerID]deposal
}

// deposal is what a member has used up of its right to depose.
type deposal struct {
	used  int
	since time.Time // of the last one, or of the last one that came back
}

func newCheck(self protocol.PeerID, at position) *check {
	return &check{self: self, at: at, deposals: map[protocol.PeerID]deposal{}}
}

func forged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errForged, fmt.Sprintf(format, args...))
}

// request judges what a member sends, but for snapshots. It takes entries that this member cannot judge yet off the
// message and says how many.
func (c *check) request(from protocol.PeerID, command any) (dropped int, err error) {
	switch req := command.(type) {
	case *raft.AppendEntriesRequest:
		if err := c.leads(from, req.RPCHeader, req.Leader, req.Term); err != nil {
			return 0, err
		}
		if dropped, err = c.entries(req); err != nil {
			return 0, err
		}
		return dropped, c.depose(from, req.Term)
	case *raft.RequestVoteRequest:
		return 0, c.vote(from, req)
	case *raft.RequestPreVoteRequest:
		if err := c.sender(from, req.RPCHeader, nil); err != nil {
			return 0, err
		}
		if req.LastLogTerm > req.Term || req.LastLogIndex > maxIndex {
			return 0, forged("a log up to entry %d of term %d", req.LastLogIndex, req.LastLogTerm)
		}
		return 0, c.bounded(req.Term)
	case *raft.TimeoutNowRequest:
		if err := c.sender(from, req.RPCHeader, nil); err != nil {
			return 0, err
		}
		if leader, ok := c.at.leader(); from != c.self && (!ok || leader != from) {
			return 0, forged("handing over without the lead")
		}
		return 0, nil
	case *raft.InstallSnapshotRequest:
		if err := c.snapshot(from, req); err != nil { // once more: the log may have moved since
			return 0, err
		}
		return 0, c.depose(from, req.Term)
	}
	return 0, forged("a %T", command)
}

// sender wants a message to bear its sender's name, and to be of this protocol.
func (c *check) sender(from protocol.PeerID, h raft.RPCHeader, old []byte) error {
	name := []byte(from.String())
	if h.ProtocolVersion != raft.ProtocolVersionMax || !bytes.Equal(h.ID, name) || !bytes.Equal(h.Addr, name) ||
		len(old) > 0 && !bytes.Equal(old, name) {
		return forged("a message of %.80q in protocol %d", h.ID, h.ProtocolVersion)
	}
	return nil
}

// leads judges whether somebody may lead in a term: there is one leader at most, and it never changes.
func (c *check) leads(from protocol.PeerID, h raft.RPCHeader, old []byte, term uint64) error {
	if err := c.sender(from, h, old); err != nil {
		return err
	}
	if from == c.self || term == 0 {
		return forged("leading in term %d", term)
	}
	if leader, ok := c.at.leader(); ok && leader != from && term == c.at.term() {
		return forged("leading in term %d, which is %s's", term, leader.Short())
	}
	return c.bounded(term)
}

// follows reports whether a request is a heartbeat of the leader of this very term, which changes nothing.
func (c *check) follows(from protocol.PeerID, req *raft.AppendEntriesRequest) bool {
	leader, ok := c.at.leader()
	return ok && leader == from && req.Term == c.at.term() && len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0 &&
		c.sender(from, req.RPCHeader, req.Leader) == nil
}

// bounded judges a term that this member may take over.
func (c *check) bounded(term uint64) error {
	if now := c.at.term(); term > now && (term > maxTerm || term-now > maxTermStep) {
		return forged("term %d after %d", term, now)
	}
	return nil
}

// depose uses up one of a member's rights to depose, if its message does so: if this member hears a leader, whose term the
// message ends.
func (c *check) depose(from protocol.PeerID, term uint64) error {
	if err := c.bounded(term); err != nil || term <= c.at.term() {
		return err
	}
	if leader, ok := c.at.leader(); ok && leader == from || !c.at.hears() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now, d := time.Now(), c.deposals[from]
	if back := int(now.Sub(d.since) / deposeAgain); d.used > 0 && back > 0 {
		d.used, d.since = max(0, d.used-back), now
	}
	if d.used >= maxDeposals {
		return fmt.Errorf("term %d deposes a leader who is heard; %s did so lately", term, from.Short())
	}
	if d.used == 0 {
		d.since = now
	}
	d.used++
	c.deposals[from] = d
	return nil
}

func (c *check) vote(from protocol.PeerID, req *raft.RequestVoteRequest) error {
	if err := c.sender(from, req.RPCHeader, req.Candidate); err != nil {
		return err
	}
	if from == c.self || req.LastLogTerm > req.Term || req.LastLogIndex > maxIndex {
		return forged("a candidate with a log up to entry %d of term %d", req.LastLogIndex, req.LastLogTerm)
	}
	if !req.LeadershipTransfer { // without it Raft does not listen while it has a leader
		return c.bounded(req.Term)
	}
	return c.depose(from, req.Term)
}

// answer judges the term that a member answers with.
func (c *check) answer(id raft.ServerID, asked, term uint64) error {
	from, err := protocol.ParsePeerID(string(id))
	if err != nil || term <= asked {
		return err
	}
	return c.depose(from, term)
}

// snapshot judges a snapshot's description.
func (c *check) snapshot(from protocol.PeerID, req *raft.InstallSnapshotRequest) error {
	if err := c.leads(from, req.RPCHeader, req.Leader, req.Term); err != nil {
		return err
	}
	switch {
	case req.SnapshotVersion != raft.SnapshotVersionMax || req.Size <= 0 || req.Size > aggregate.MaxSnapshot:
		return forged("a snapshot of version %d and %d bytes", req.SnapshotVersion, req.Size)
	case req.LastLogIndex == 0 || req.LastLogIndex > maxIndex || req.LastLogTerm == 0 || req.LastLogTerm > req.Term || req.ConfigurationIndex > req.LastLogIndex:
		return forged("a snapshot at entry %d of term %d", req.LastLogIndex, req.LastLogTerm)
	case req.LastLogIndex < max(c.at.last(), c.at.committed()):
		// Raft would lose entries that it goes on to count on.
		return fmt.Errorf("a snapshot at entry %d, the log here has %d", req.LastLogIndex, c.at.last())
	}
	_, err := decodeConfiguration(req.Configuration)
	return err
}

// state judges a snapshot's content, and returns it for Raft to read.
func (c *check) state(req *raft.InstallSnapshotRequest, body []byte) (io.Reader, error) {
	if int64(len(body)) != req.Size {
		return nil, fmt.Errorf("snapshot of %d bytes ended after %d", req.Size, len(body))
	}
	m, err := c.at.fresh()
	if err != nil {
		return nil, err
	}
	if err := m.Restore(body); err != nil {
		return nil, err
	}
	size, root := m.Log()
	if have, is := c.at.log(); size < have || size == have && root != is {
		return nil, forged("a snapshot whose log of %d leaves is not a continuation of the %d here", size, have)
	}
	conf, err := decodeConfiguration(req.Configuration)
	if err != nil {
		return nil, err
	}
	var council []protocol.PeerID
	if set := m.Council(); set != nil {
		for _, a := range set.Members {
			council = append(council, a.ID)
		}
	}
	if !c.governs(conf, council) {
		return nil, forged("a snapshot with a group that is not its council")
	}
	return bytes.NewReader(body), nil
}

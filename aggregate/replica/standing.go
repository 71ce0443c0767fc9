package replica

import (
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// standing is the position of a replica. Before Raft runs it is at the beginning.
type standing struct {
	r *Replica

	mu    sync.Mutex // guards what was found last, of before
	index uint64
	term0 uint64
	conf  raft.Configuration
}

var _ position = (*standing)(nil)

func (s *standing) term() uint64 {
	if r := s.r.live.Load(); r != nil {
		return r.CurrentTerm()
	}
	return 0
}

func (s *standing) last() uint64 {
	if r := s.r.live.Load(); r != nil {
		return r.LastIndex()
	}
	return 0
}

func (s *standing) committed() uint64 {
	if r := s.r.live.Load(); r != nil {
		return max(r.CommitIndex(), r.AppliedIndex())
	}
	return 0
}

// entry reads what Raft may be writing: an error is an entry that is not there.
func (s *standing) entry(index uint64) (l raft.Log, ok bool) {
	return l, s.r.store.GetLog(index, &l) == nil
}

func (s *standing) leader() (id protocol.PeerID, ok bool) {
	r := s.r.live.Load()
	if r == nil {
		return id, false
	}
	_, name := r.LeaderWithID()
	id, err := protocol.ParsePeerID(string(name))
	return id, err == nil
}

func (s *standing) hears() bool {
	r := s.r.live.Load()
	if r == nil {
		return false
	}
	_, ok := s.leader()
	return r.State() == raft.Leader || ok && time.Since(r.LastContact()) < s.r.cfg.Timing.Silence
}

// before reads the log backwards, as far as it has not done so.
func (s *standing) before(index uint64) raft.Configuration {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.r.store.FirstIndex()
	for i := index - 1; err == nil && first > 0 && i >= first; i-- {
		l, ok := s.entry(i)
		switch {
		case ok && i == s.index && l.Term == s.term0:
			return s.conf
		case !ok || l.Type != raft.LogConfiguration:
			continue
		}
		if conf, err := decodeConfiguration(l.Data); err == nil {
			s.index, s.term0, s.conf = i, l.Term, conf
			return conf
		}
	}
	if metas, err := s.r.snapshots.List(); err == nil && len(metas) > 0 && metas[0].Index < index {
		return metas[0].Configuration
	}
	return s.founders()
}

// councils is short of the present one only where neither the statement chain nor the log has told this member.
func (s *standing) councils() (sets [][]protocol.PeerID) {
	logged, earlier := s.r.reigns.get()
	for _, ids := range [][]protocol.PeerID{s.r.council(), s.r.logged(), logged, earlier} {
		if len(ids) > 0 && !slices.ContainsFunc(sets, func(set []protocol.PeerID) bool { return slices.Equal(set, ids) }) {
			sets = append(sets, ids)
		}
	}
	return sets
}

func (s *standing) founders() raft.Configuration { return s.r.membership() }

func (s *standing) fresh() (*aggregate.Machine, error) { return aggregate.New(s.r.cfg.Machine) }

func (s *standing) log() (size uint64, root protocol.Digest) {
	s.r.Read(func(m *aggregate.Machine) { size, root = m.Log() })
	return size, root
}

// reigns remembers the last two councils that the machine's state named: the leader may change the group for the one
// before, when the next is in the log already.
type reigns struct {
	mu           sync.Mutex
	now, earlier []protocol.PeerID
}

func (r *reigns) note(ids []protocol.PeerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(ids) > 0 && !slices.Equal(ids, r.now) {
		r.now, r.earlier = ids, r.now
	}
}

func (r *reigns) get() (now, earlier []protocol.PeerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, r.earlier
}

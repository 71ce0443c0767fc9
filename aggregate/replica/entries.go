package replica

import (
	"fmt"
	"slices"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
	"drystone/protocol"
)

// maxServers bounds a configuration: the largest council while one is replaced, and observers.
const maxServers = 64 + 1 + 2*MaxObservers

// entries judges an AppendEntries beyond its header. It takes those entries off the end that begin with a configuration
// which this member cannot judge yet, since its machine lags behind; the leader sends them again.
func (c *check) entries(a *raft.AppendEntriesRequest) (dropped int, err error) {
	if len(a.Entries) > maxBatch || a.PrevLogEntry > maxIndex || a.PrevLogTerm > a.Term || (a.PrevLogEntry == 0) != (a.PrevLogTerm == 0) {
		return 0, forged("%d entries after entry %d of term %d", len(a.Entries), a.PrevLogEntry, a.PrevLogTerm)
	}
	term, committed := a.PrevLogTerm, c.at.committed()
	for i, e := range a.Entries {
		switch {
		case e == nil:
			return 0, forged("no entry")
		case e.Index != a.PrevLogEntry+1+uint64(i) || e.Term < term || e.Term > a.Term:
			return 0, forged("entry %d of term %d as number %d after %d of term %d", e.Index, e.Term, i+1, a.PrevLogEntry, term)
		}
		if err := wellFormed(e); err != nil {
			return 0, err
		}
		if have, ok := c.at.entry(e.Index); e.Index <= committed && (!ok || have.Term != e.Term) {
			return 0, forged("entry %d of term %d, where another is committed", e.Index, e.Term)
		}
		term = e.Term
	}
	keep, err := c.configurations(a)
	if err != nil {
		return 0, err
	}
	dropped = len(a.Entries) - keep
	a.Entries = a.Entries[:keep]
	// As Raft's paper has it (figure 2): entries that the leader does not name here may differ from its own.
	a.LeaderCommitIndex = min(a.LeaderCommitIndex, a.PrevLogEntry+uint64(keep))
	return dropped, nil
}

// wellFormed judges an entry by itself.
func wellFormed(e *raft.Log) error {
	most := 0
	switch e.Type {
	case raft.LogCommand:
		most = aggregate.MaxRecord
	case raft.LogConfiguration:
		most = maxConfiguration
	case raft.LogNoop, raft.LogBarrier:
	default: // not those of Raft's first protocols, either
		return forged("an entry of type %d", e.Type)
	}
	if len(e.Data) > most || len(e.Extensions) > 0 {
		return forged("a %s of %d bytes", e.Type, len(e.Data))
	}
	return nil
}

// configurations judges the new configurations among the entries, and returns how many entries stand.
func (c *check) configurations(a *raft.AppendEntriesRequest) (keep int, err error) {
	first := slices.IndexFunc(a.Entries, func(e *raft.Log) bool {
		have, ok := c.at.entry(e.Index)
		return !ok || have.Term != e.Term
	})
	if first < 0 {
		return len(a.Entries), nil
	}
	var base raft.Configuration
	for i, e := range a.Entries[first:] {
		if e.Type != raft.LogConfiguration {
			continue
		}
		conf, err := decodeConfiguration(e.Data)
		if err != nil {
			return 0, err
		}
		if base.Servers == nil {
			base = c.at.before(a.Entries[first].Index)
		}
		if c.succeeds(base, conf) != nil {
			return first + i, nil
		}
		base = conf
	}
	return len(a.Entries), nil
}

// decodeConfiguration does not panic, and returns no group that could not be one of this run.
func decodeConfiguration(data []byte) (conf raft.Configuration, err error) {
	if len(data) > maxConfiguration {
		return conf, forged("a configuration of %d bytes", len(data))
	}
	defer func() {
		if p := recover(); p != nil {
			err = forged("an unreadable configuration: %.200v", p)
		}
	}()
	conf = raft.DecodeConfiguration(data)
	seen := map[raft.ServerID]bool{}
	for _, s := range conf.Servers {
		id, bad := protocol.ParsePeerID(string(s.ID))
		if bad != nil || serverID(id) != s.ID || string(s.Address) != string(s.ID) || s.Suffrage != raft.Voter && s.Suffrage != raft.Nonvoter || seen[s.ID] {
			return conf, forged("a configuration with server %.80q at %.80q, suffrage %d", s.ID, s.Address, s.Suffrage)
		}
		seen[s.ID] = true
	}
	if len(voters(conf)) == 0 || len(conf.Servers) > maxServers {
		return conf, forged("a configuration of %d servers with %d votes", len(conf.Servers), len(voters(conf)))
	}
	return conf, nil
}

func voters(c raft.Configuration) (ids []protocol.PeerID) {
	for _, s := range c.Servers {
		if id, err := protocol.ParsePeerID(string(s.ID)); err == nil && s.Suffrage == raft.Voter {
			ids = append(ids, id)
		}
	}
	return ids
}

// succeeds judges a change of the group: one vote at a time, given to who is in a council that may rule, and taken from
// who is missing in one.
func (c *check) succeeds(base, next raft.Configuration) error {
	old, now := voters(base), voters(next)
	changes := 0
	for _, id := range now {
		if slices.Contains(old, id) {
			continue
		}
		changes++
		if !slices.ContainsFunc(c.at.councils(), func(set []protocol.PeerID) bool { return slices.Contains(set, id) }) {
			return fmt.Errorf("a vote for %s, who is in no council known here", id.Short())
		}
	}
	for _, id := range old {
		if slices.Contains(now, id) {
			continue
		}
		changes++
		if !slices.ContainsFunc(c.at.councils(), func(set []protocol.PeerID) bool { return !slices.Contains(set, id) }) {
			return fmt.Errorf("no vote for %s, who is in the council", id.Short())
		}
	}
	if changes > 1 {
		return fmt.Errorf("%d votes change at once", changes)
	}
	return nil
}

// governs reports whether the votes of a group are a council's, but for changes under way: most of the ones are the others'.
func (c *check) governs(conf raft.Configuration, council []protocol.PeerID) bool {
	ids := voters(conf)
	if len(council) == 0 {
		council = voters(c.at.founders())
	}
	both := 0
	for _, id := range ids {
		if slices.Contains(council, id) {
			both++
		}
	}
	return 2*both > len(ids) && 2*both > len(council)
}

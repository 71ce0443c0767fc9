package replica

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hashicorp/raft-wal/types"

	"drystone/aggregate"
	"drystone/protocol"
)

// Config configures a Replica.
type Config struct {
	Dir     string            // for the log, the snapshots and a lock file; made if absent
	Self    protocol.PeerID   // one of Members, or who joins later: see Members
	Members []protocol.PeerID // the aggregators of the Genesis, the same everywhere; anybody else waits for the leader to add it
	Machine aggregate.Config
	Streams Streams
	Log     *slog.Logger // nil for none
	// OnApply, if not nil, is called for every accepted record in log order, one call at a time, before the next record is
	// applied and before any snapshot covers it. After a restart the records since the last snapshot come again with the
	// same index, possibly before Open returns. It may call Read, not Propose, and must be quick: replication waits for it.
	OnApply func(Applied)
	// Council, if not nil, returns the newest certified set of aggregators that this process knows from the statement
	// chain, and none if it knows none: it may be ahead of the own log, after a long absence. It must be quick.
	Council func() []protocol.PeerID
	// Observers, if not nil, names who may read along while this member leads: at most MaxObservers, further ones are left
	// out. Members should agree, or observers come and go with the leader.
	Observers func() []protocol.PeerID
	Timing    Timing    // zero fields take DefaultTiming's
	Clock     Clock     // nil for the system's
	Disk      types.VFS // where raft-wal keeps its segments; nil for the file system. Tests let it fail. Not used on Windows

	segment int // bytes of a segment of the log; 0 for walSegment, smaller in tests
}

// MaxObservers bounds the members that read along without a vote.
const MaxObservers = 8

// Applied is an accepted record's effect. When the state jumped to a snapshot, from the own disk at the start or from
// the leader after a long absence, Restored is set, and there are no effects and no index: a log that this node keeps
// with fewer leaves than LogSize is then to be completed from others.
type Applied struct {
	Index    uint64 // of the record in the Raft log
	Effects  aggregate.Effects
	Restored bool
	LogSize  uint64 // of the transparency log afterwards
	LogRoot  protocol.Digest
}

// Timing holds Raft's timeouts.
type Timing struct {
	Silence   time.Duration // without contact to a leader before members ask one another for it, see elect.go
	Heartbeat time.Duration // without contact to a leader before Raft's own election
	Election  time.Duration // without a result before another one; at least Heartbeat
	Lease     time.Duration // a leader without contact to a quorum steps down; at most Heartbeat
	Commit    time.Duration // before an idle leader announces its commit index; also how often a follower hears of it
	Tick      time.Duration // between the leader's looks at the machine's deadline
}

// DefaultTiming suits aggregators on different continents.
func DefaultTiming() Timing {
	return Timing{Silence: 500 * time.Millisecond, Heartbeat: 1500 * time.Millisecond, Election: 1500 * time.Millisecond, Lease: time.Second,
		Commit: 50 * time.Millisecond, Tick: 200 * time.Millisecond}
}

func (c *Config) complete() error {
	if c.Dir == "" || c.Streams == nil {
		return errors.New("Config needs Dir and Streams")
	}
	if s := c.Machine.Spec; s != nil && len(c.Members) != s.Quorum.Aggregators {
		return fmt.Errorf("%d members, the run spec has %d aggregators", len(c.Members), s.Quorum.Aggregators)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = systemClock{start: time.Now()}
	}
	def := DefaultTiming()
	for _, d := range []struct{ field, def *time.Duration }{
		{&c.Timing.Silence, &def.Silence}, {&c.Timing.Heartbeat, &def.Heartbeat}, {&c.Timing.Election, &def.Election}, {&c.Timing.Lease, &def.Lease},
		{&c.Timing.Commit, &def.Commit}, {&c.Timing.Tick, &def.Tick},
	} {
		if *d.field <= 0 {
			*d.field = *d.def
		}
	}
	return nil
}

// founding reports whether this member is an aggregator of the Genesis, which begins the log by itself.
func (c *Config) founding() bool { return slices.Contains(c.Members, c.Self) }

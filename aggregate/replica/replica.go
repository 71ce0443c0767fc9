// Package replica replicates an aggregate.Machine with Raft.
package replica

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// Streams carries bytes between aggregators; gossip.Host implements it. The remote peer of a connection is
// authenticated.
type Streams interface {
	// HandleStream has fn called, in a goroutine of its own, with each stream that a peer opens under the name.
	HandleStream(name string, fn func(from protocol.PeerID, c net.Conn))
	// OpenStream opens a stream to a peer. It returns when ctx ends.
	OpenStream(ctx context.Context, to protocol.PeerID, name string) (net.Conn, error)
}

// Config configures a Replica.
type Config struct {
	Dir     string            // for the log, the snapshots and a lock file; made if absent
	Self    protocol.PeerID   // one of Members
	Members []protocol.PeerID // the aggregators of the Genesis
	Machine aggregate.Config
	Streams Streams
	Log     *slog.Logger // nil for none
	// OnApply, if not nil, is called for every accepted record in log order, one call at a time, before the next record is
	// applied and before any snapshot covers it. After a restart the records since the last snapshot come again with the
	// same index. It may call Read, not Propose, and must be quick: replication waits for it.
	OnApply func(Applied)
	Timing  Timing           // zero fields take DefaultTiming's
	Now     func() time.Time // the leader's clock; nil for time.Now
}

// Applied is an accepted record's effect. Restored is set, without effects, when the state jumped to a snapshot that
// the leader sent: the leaves in between are to be fetched from others.
type Applied struct {
	Index    uint64 // of the record in the Raft log
	Effects  aggregate.Effects
	Restored bool
}

// Timing holds Raft's timeouts.
type Timing struct {
	Heartbeat time.Duration // without contact to a leader before an election
	Election  time.Duration // without a result before another one
	Lease     time.Duration // a leader without contact to a quorum steps down
	Commit    time.Duration // before an idle leader announces its commit index
	Tick      time.Duration // between the leader's looks at the machine's deadline
}

// DefaultTiming suits aggregators on different continents.
func DefaultTiming() Timing {
	return Timing{Heartbeat: 2 * time.Second, Election: 2 * time.Second, Lease: time.Second, Commit: 50 * time.Millisecond, Tick: 200 * time.Millisecond}
}

// ErrClosed is returned by Propose after Close.
var ErrClosed = errors.New("replica is closed")

// Replica is one member of the Raft group. Its methods are safe for concurrent use.
type Replica struct{ cfg Config }

// Open starts a replica.
func Open(cfg Config) (*Replica, error) { return &Replica{cfg: cfg}, nil }

// Propose brings a record into the log, through the leader wherever it is. It returns nil once the record is applied or
// was applied before, an error wrapping aggregate.ErrRefused if the machine refuses it, and ctx's error or ErrClosed.
func (r *Replica) Propose(ctx context.Context, record []byte) error { return ErrClosed }

// Read calls fn with the machine, which must not be kept or changed. Applying waits meanwhile.
func (r *Replica) Read(fn func(*aggregate.Machine)) {}

// Changed returns a channel that is closed at the next change of the machine. Take it before reading.
func (r *Replica) Changed() <-chan struct{} { return nil }

// Leader returns the current leader as far as this member knows.
func (r *Replica) Leader() (protocol.PeerID, bool) { return protocol.PeerID{}, false }

// Close stops the replica and waits for its goroutines.
func (r *Replica) Close() error { return nil }

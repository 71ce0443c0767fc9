// Package replica replicates an aggregate.Machine among the aggregators of a run with hashicorp/raft: one log of records,
// on disk at every member, applied in the same order by all.
//
//	r, err := replica.Open(replica.Config{Dir: dir, Self: me, Members: council, Machine: mc, Streams: host, OnApply: store})
//	err = r.Propose(ctx, aggregate.JoinRecord(join))            // at any member; goes to the leader
//	for {
//		changed := r.Changed()                              // before Read
//		r.Read(func(m *aggregate.Machine) { duties = m.Duties(me) })
//		...
//		<-changed
//	}
//
// # Guarantees
//
// Propose returns nil once a majority has the record on disk and the machine accepted it, now or before. It tries again
// through elections; the machine recognises what it has, so a record proposed twice counts once. A refusal comes back as
// the machine gave it, whichever member was asked. A member serves Read from its own, perhaps older, state.
//
// OnApply sees every accepted record's effects in order, at least once: a snapshot is taken only after the effects that it
// covers were handed out, and what follows the last snapshot comes again after a restart, with the same index. The only
// gap is a jump to a snapshot, which is announced (Applied.Restored).
//
// A member whose disk fails stops its process: Raft panics rather than vote or acknowledge without a durable log.
//
// A majority of members is needed for progress: 3 of 4. Raft survives crashes, not lies; see package aggregate for what
// does not rest on it.
//
// # Disk
//
//	Dir/LOCK         held while open: one process, one replica
//	Dir/wal/         raft-wal segments of 8 MiB, and wal-meta.db (bbolt) with Raft's term and vote
//	Dir/raft.db      instead of Dir/wal on Windows, where raft-wal cannot fsync a directory: the same in one bbolt file
//	Dir/snapshots/   the last two snapshots, taken every 4096 records; 16384 records stay behind them
//
// # Streams
//
// Two names, both between members only; a stream from anybody else is closed unread.
//
//	raft/1      hashicorp/raft's network transport, msgpack; server ID and address are the peer ID
//	propose/1   one proposal, then the stream ends:
//
//	  request  +----------------+--------+      answer  +------+----------------+------+
//	           | length, 4 B BE | record |              | code | length, 2 B BE | text |
//	           +----------------+--------+              +------+----------------+------+
//
//	  code 0: applied; 1 to 253: refused, aggregate.Refusal.Code and its text; 254: not the leader, try again; 255: failed
//
// # Goroutines
//
//	Raft's own            from Open until Close
//	ticker                from Open until Close; at the leader, proposes a Tick when the machine's deadline has passed
//	one per proposal      at the leader, until Raft has decided; at most 64 of this member's own
//	one per stream        belongs to Streams, which calls the handlers
package replica

// Package replica replicates an aggregate.Machine among the aggregators of a run with hashicorp/raft: one log of records,
// on disk at every member, applied in the same order by all.
//
//	r, err := replica.Open(replica.Config{Dir: dir, Self: me, Members: council, Machine: mc, Streams: host, OnApply: store})
//	err = r.Propose(ctx, aggregate.JoinRecord(join))            // at any member; goes to the leader
//	for {
//		changed := r.Changed()                              // before Read
//		r.Read(func(m *aggregate.Machine) { duties = m.Duties(me) })
//		...
//		select {
//		case <-changed:
//		case <-r.Done():                                    // the disk failed, or the council no longer has this member
//			return r.Err()
//		}
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
// gap is a jump to a snapshot, which is announced (Applied.Restored): whoever keeps leaves then lacks some.
//
// A majority of members is needed for progress: 3 of 4. Raft survives crashes, not lies; see package aggregate for what
// does not rest on it. A lying member can hold the others up, and no more: what it sends passes a check before Raft sees it
// (check.go), so it can neither end their processes, nor have them drop what is committed, nor give votes to whom no council
// names, nor depose leaders without end.
//
// A member whose disk fails stops by itself, with ErrDisk: it neither votes nor acknowledges without a durable log, and a
// write that failed is not tried again. What it acknowledged before, it finds when it is opened again.
//
// # Members
//
// The group follows the council of the machine's state. Who is new gets the log without a vote, the vote when it lacks
// at most 64 records, and only then do those go who are to go; one change at a time. Who is no longer in the council stops
// with ErrRemoved; the leader waits 10 s for it to hear of that. Observers have the log, serve Read, and neither vote nor
// propose; the leader admits up to MaxObservers that its configuration names. A directory that is lost is not to be
// replaced by an empty one under the same key, since a vote may be lost with it: remove the member and add another.
//
// # Elections
//
// With DefaultTiming the next record after a leader's death is logged within 0.5 s and four round trips: elect.go says how.
// A leader that is closed, or told to (TransferLeadership), hands over first, and no time is lost.
//
// # Time
//
// The machine's deadlines are in logged time, which the leader's Ticks advance by what has elapsed on its own clock since
// the last Tick. The time of day is read for the first Tick of a run only, so wrong and jumping clocks end no phase. Time
// in which nobody leads counts for nobody; after a restart of the whole group it goes on where it was.
//
// # Disk
//
//	Dir/LOCK         held while open: one process, one replica
//	Dir/wal/         raft-wal segments of 8 MiB, and wal-meta.db (bbolt) with Raft's term and vote
//	Dir/raft.db      instead of Dir/wal on Windows, where raft-wal cannot fsync a directory: the same in one bbolt file
//	Dir/snapshots/   the last two snapshots, taken every 4096 records; 16384 records stay behind them
//
// Promises is a journal that its owner puts where it likes: what the member has signed, each record on the disk before the
// signature leaves the process.
//
// So the log holds about 20,500 records at most, and a segment that is not yet full, however long the run is: 20 MB for
// records of 1 KB. Raft looks every 10 to 20 s whether a snapshot is due, and so much more may come between. A
// snapshot is the machine's state, at most aggregate.MaxSnapshot, and grows with the peers that ever joined, not with
// rounds. A member that was away for longer than the others keep records gets a snapshot.
//
// # Streams
//
// Three names. Raft's and progress are for members, proposals for aggregators; a stream from anybody else is closed unread.
//
//	raft/1       hashicorp/raft's network transport, msgpack; server ID and address are the peer ID
//	progress/1   one byte 0, answered by
//
//	               +---------------+-------------------+-----------------------------+
//	               | applied, 8 BE | last record, 8 BE | without a leader, ms, 4 BE  |
//	               +---------------+-------------------+-----------------------------+
//
//	propose/1    one proposal, then the stream ends:
//
//	  request  +----------------+--------+      answer  +------+----------------+------+
//	           | length, 4 B BE | record |              | code | length, 2 B BE | text |
//	           +----------------+--------+              +------+----------------+------+
//
//	  code 0: applied; 1 to 253: refused, aggregate.Refusal.Code and its text; 254: not the leader, try again; 255: failed
//
// # Goroutines
//
//	Raft's own            from Open until Close, or until Done
//	ticker                likewise; at the leader, proposes a Tick when the machine's deadline has passed
//	watchLeader           likewise; wakes proposals when the leader changes
//	keepWatch             likewise; stands for election when a quorum hears no leader
//	keepMembership        likewise; at the leader, has Raft follow the council
//	listen, relay         two for each member that called, until Close
//	one per pipeline      checks a follower's answers, until Raft closes the pipeline
//	one per proposal      until Raft has decided, or the leader has answered; at most 64 of this member's own
//	one per stream        belongs to Streams, which calls the handlers
package replica

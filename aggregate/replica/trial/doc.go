// Package trial runs a council of aggregators as processes of their own, over real sockets, and does to them what happens
// to machines: kill -9, distance, lost packets, partitions, clocks that jump, disks that are full or fail. Tests and the figures failover
// and restart-time use it; no program does.
//
//	c, err := trial.Start(ctx, trial.Options{Dir: dir, Rounds: 100, Command: me})    // me starts trial.Main in a process
//	err = c.Kill(ctx, i); err = c.Restart(ctx, i)
//	err = c.Finish(ctx)                                                               // what every member ended with
//
// go test does each of these things once or twice; with -long it kills 300 leaders, and more of the rest, in half an hour.
// With Options.Shards the shards have owners, fewer than there are members, and owners are killed in the middle of their part of a
// round; the deadlines at which others take over pass on command, so that no test waits for them, or misses one.
//
// A member is a gossip.Host, a replica.Replica and a verify.Log, and does what its machine says it owes, as a node does.
// Training, merging and checks are those of package aggtest: hashes with real signatures. Every member plays every trainer
// as well, so rounds follow one another as fast as the group logs records, and a run can be told from another by its
// statements: they depend on who took part, not on the order or the moment of anything, nor on what failed meanwhile.
//
// The driver and a member talk in lines: commands on standard input, events as JSON on standard output (event.go).
package trial

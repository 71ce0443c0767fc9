// Package council plays whole runs of a council that crashes and lies, in virtual time and from one seed. It is for tests
// and benchmarks only.
//
// What decides is production code: aggregate.Machine with its Duties, Deadline and MaySign, aggregate.Merge, the codecs,
// Reveal.Check, Council.Verify, and messages with real keys and signatures. What surrounds it is simulated:
//
//	Sim          event queue, virtual clock, one source of randomness
//	Links        delay, loss, duplication, reordering, partition between members
//	order        the log as Raft gives it: the same records in the same order to each replica, each at its own pace;
//	             a leader that may crash, and that may lie: hold records back, log a false time
//	Aggregator   what node.Aggregator does with a machine: duties, receipts, reveals, signatures
//	Trainer      commits, reveals, opens, and believes t-of-n statements only
//
// Training, BLS draws and EVM signatures are replaced by hashes that the machine cannot tell apart. A contribution is a
// vector that follows from state, round and peer, in a real payload under a real trace.
//
// A lie is a Conduct, what an aggregator sends in place of the honest records, or a lie of the log's leader; each attack
// has a file of its own that says what must hold with up to f liars. Judge looks at the end of a run for what may never
// happen. Split views are two logs: the liar has a face on each, both with its one key.
//
// Order gives the founder's orders: pause, resume, stop, a change of the council.
//
// A Sim and all it holds belong to one goroutine. The same Setup gives the same run, event for event.
package council

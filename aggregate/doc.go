// Package aggregate is what the aggregators of a run agree on: a pure state machine that takes the records of a Raft log
// in and gives state and effects out, and the merge of contributions. It does no I/O, reads no clock, starts no goroutine
// and draws no random number, so the same code runs in a node and in a simulator, and equal logs give equal states.
// Package replica puts Raft around it.
//
//	m, err := aggregate.New(cfg)
//	fx, err := m.Apply(record)      // a *Refusal changes nothing, and is the same on every replica
//	for _, d := range m.Duties(me)  // what this aggregator owes now, from the state alone: so it survives a restart
//	t, ok := m.Deadline()           // propose TickRecord(min(now, m.LastTick())) once now >= t
//
// # Trust
//
// Raft orders records and survives crashes; it believes its leader. Therefore nothing here rests on the leader's word:
// every record but Tick is signed by its author and verified by every replica, statements are final only with t of n
// signatures, Open, Freeze and RevealSet follow from the log and are derived by every replica for itself, and the time
// that a leader logs can end the training or the revealing of a round only when t aggregators' own clocks agree
// (MaySign). A lying leader can still call verifiers late, by false time, and hold records back.
//
// # Phases
//
//	           enough peers, and the
//	           checks of round r-W ended     t signatures           all committed, or deadline
//	waiting ------------------------> opening --------> train -----------------------------> freezing
//	   ^                                                                                        | t signatures
//	   | round r+1                                                                              v
//	   |            t equal results           t signatures             all attested by t, or deadline
//	   +------ merge <------------- revealing <----------------------------------------------- reveal
//	   |         |
//	   |         +-- meanwhile, from the RevealSet on: draws, verdicts, confirmations
//	   v after the last round
//	draining --> finished, when every check has ended and every epoch is settled
//
// Between two rounds the founder's orders come first: paused, changing (a Council is being signed) and ending (an End is)
// branch off waiting and paused. The table in phase.go has every transition, docs/protocol.md draws it whole.
//
// The statement under signature is fixed at one place in the log, when the condition above its arrow first holds, and
// does not change any more. Hence a run's statements depend on who took part, not on the order or the moment of
// deliveries inside the deadlines.
//
// # Rules
//
// Time. The machine knows the last Tick only. A deadline counts from the first Tick after the event that starts it, and
// Deadline asks for that Tick at once. No statement contains a time.
//
// Roster. Everyone with an accepted Join, in order of ID, save who left, who missed M = 2 rounds running, and who was
// convicted. Joins and leaves take effect at the next Open that is not yet fixed. A peer that was dropped for misses
// returns with a new Join, whose nonce is higher, and is on probation: one more miss drops it, a revealed contribution ends
// that. A Join of a peer that was not dropped takes no miss from it either. Nonces start at 1. A Join that offers to train only some shards is
// accepted if the RunSpec's train.min_shards allows so few; the Open carries what each of the roster offers, and from that
// follow the shards of each (protocol.AssignShards).
//
// Train. A peer commits once, to 1 to H steps, naming the digest of the Open. Of two different commits the first counts;
// the second becomes evidence, and a leaf. The Freeze is fixed when every rostered peer that has not left committed, or
// at the deadline; with no commit at all the deadline is extended once, and then the Freeze is empty.
//
// Delay. With train.delay = 1 whoever is there when round r opens is announced for round r+1, in Open.Ahead, and may train
// it from then on, from theta_r. So Open r+1 has the roster and the capacities that Open r announced, and theta_r for Start;
// round 0 has everyone who is there, and theta_0, like round 1. The merge of round r is applied to theta_r in any case. Who
// leaves, is dropped or is out by a conviction after Open r stays in the roster of round r+1, but nobody waits for it and its
// commit is refused; who joins is in that of round r+2. All this follows from the Open of the round before, so the state holds nothing more.
//
// Reveal. A contribution, with all shards that it was assigned, is in the RevealSet if t aggregators attest to the same trace start and end, the start names
// the round's model, and its error feedback is what the peer's contribution to the round before left if that RevealSet
// holds it, zero otherwise. A commit without that is a miss, as no commit is.
//
// Owners. Where RunSpec.Owners asks for fewer than n, owners alone attest to their shards, and the merge goes shard by
// shard: t equal Partials of each give the merge record, t equal ShardCertificates of each give the Certificate. Who owns
// a shard is a matter of duties only: whoever says it, t equal words decide. Who is late is at fault and away.
//
// Merge. Otherwise each aggregator signs its own Certificate; t equal ones are final. A second, different one by the same
// aggregator is evidence, and so is a second statement of any kind for a step: both, with the signatures, become a leaf
// (protocol.Contradiction), once for each aggregator and step; likewise two results for a shard, and two settlements of an epoch. An empty RevealSet has the Certificate that changes nothing, and it is derived.
//
// Checks. In the order of protocol.CheckOrder, the first verify.checks aggregators owe a draw and a verdict on each
// contribution, those passed over that were late before and not heard of since. Who is late is at fault, and the duty
// passes to the next who was not late in this round. After a failed
// check every other aggregator but the contributor owes a verdict on the same segment: t failures refute the
// contribution, more than n-t passes clear it, so a lone liar convicts nobody. Who is outvoted is at fault. Without either by the
// deadline the silent are at fault and the contribution stands, on record. If every verifier was late it is unchecked.
//
// Conviction. The contributor of a refuted contribution leaves the roster at the opening of round r+W, whenever the
// verdict came: Open r+W waits for all checks of round r, so the effect does not depend on timing. In this version it is
// out for the rest of the run, and all its work of that epoch is void.
//
// Absence. With RunSpec.Verify.Grace a quorum of failed verdicts refutes if more than f found something false. Otherwise the
// contribution is withheld: it is not paid, and its peer is on probation from the opening of r+W. Withheld contributions of
// fewer than W rounds are one absence; whatever is withheld in a second one is refuted.
//
// Pay. A contribution to a RevealSet earns steps x tokens per step x share of parameters trained for the payout address of the peer's latest Join at
// that moment, if one of its checks was answered and it was not refuted; unchecked work is not paid. An epoch is due when
// every check of its rounds has ended, after the epoch before; LogRoot is the transparency log's at that moment. t equal
// settlements, over cumulative payouts that take nothing back, make it final.
//
// Orders. A Control of the founder acts between two rounds: a round under way is finished. One that could have no effect
// (in the last round, after a stop, a resume of a run that goes on, a second change beside one that is pending) is
// refused. A stop ends the run with an End; a pending change lapses. The epoch that it cuts short is due when the checks
// of its rounds have ended, like any.
//
// Council. A change is fixed when every check of earlier rounds has ended and every epoch due is settled, so one set answers
// for a whole round and its settlements. It is final when t of the old set signed both the Council statement and the
// rotation of the contract's signers; then the new set signs, under the threshold that protocol.QuorumSpec.Of gives.
// Nobody is removed who hosts the ledger. A record by somebody who is out is refused with ErrLate.
//
// # Records and leaves
//
// A record is canonical CBOR, and so is a leaf of the transparency log:
//
//	[ type, body ]     type: RecordType, 1 byte;  body: byte string, canonical encoding of the type's message
//
//	type  message                            leaf
//	 1    protocol.SignedStatement, Genesis  as type 32
//	 2    Tick                               no
//	 3    protocol.Signed[Join]              when accepted
//	 4    protocol.Signed[Leave]             when accepted
//	 5    protocol.Signed[Commit]            when accepted; a peer's first of a round counts
//	 6    Cosign                             no
//	 7    protocol.Signed[Attest]            no
//	 8    protocol.Signed[Draw]              when accepted
//	 9    protocol.Signed[Verdict]           when accepted
//	10    Settle                             no
//	11    Checkpoint                         no
//	12    protocol.Signed[protocol.Control]  when accepted
//	13    Rotate                             no
//	14    Partial                            no
//	15    protocol.Signed[ShardCertificate]  no
//	32    protocol.SignedStatement           every final statement
//	33    SettledEpoch                       every final settlement
//	34    Rotated                            every final rotation
//	35    protocol.Contradiction             when an aggregator signed two statements for one step
//	36    protocol.Doubled[Partial]          two sums of a shard
//	37    protocol.Doubled[ShardCertificate] two results for a shard
//	38    protocol.DoubleSettlement          two settlements of an epoch
//
// Leaves stand in log order under an RFC 6962 tree, of which the state keeps the compact range. After each Certificate
// and each settlement the size reached is to be cosigned by a Checkpoint; a newer target replaces one that lacks its
// quorum.
//
// # Bounds
//
// A record has at most MaxRecord bytes, a roster protocol.MaxRoster peers, a run 16,384 peers that ever joined. Rounds
// stay in the state until their checks end, so at most W + 2 of them. The council changes at most 256 times. How often a peer may join and leave is not bounded
// here: whoever proposes records for others must limit them.
package aggregate

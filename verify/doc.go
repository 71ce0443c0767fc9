// Package verify checks contributions and proves to strangers what was checked. It draws what to check, replays it,
// keeps the run's transparency log, and writes and audits proof files. It trusts no peer and no aggregator beyond what
// their quorum signed; it accuses nobody for a failure of the machine that it runs on.
//
// # Checking a contribution
//
//	draw, err := verify.NewDraw(key, blsKey, run, round, freeze.Root, revealSetDigest)   // once the RevealSet is final
//	ch := verify.ChallengeOf(spec, params, &draw.Body, peer, commit.Steps, shards)       // segment and codec chunks
//	outcome, state, err := verify.Check(ctx, task, verify.Tools{Replayer: r, Opener: o}) // ask, replay, compare
//	verdict.Outcome, verdict.States = outcome, protocol.StatesDigest(self, state)
//
// The contributor opens the states around the drawn segment against its own commit; training the segment again must give
// the committed state to the bit, and encoding the drawn chunks again must give the payload to the byte. What belongs to
// shards that the Open did not assign must be as it was before: opened parameters, and the error feedback of chunks drawn
// there. Whatever the contributor does is an outcome; whatever goes wrong here is an error.
//
// # The transparency log
//
// One RFC 6962 tree per run, the same on every aggregator. A leaf is the CBOR array [type, message]. On disk:
//
//	leaves   records end to end     | length, 4 bytes BE | RFC 6962 leaf hash, 32 | leaf |
//	hashes   the tree's hashes      32 bytes each, in the order of golang.org/x/mod/sumdb/tlog
//
// A leaf is synced before its hashes are written. So a crash leaves at most an incomplete last record without hashes,
// which OpenLog cuts off; hashes are made again from leaves. Any other damage is reported and nothing is dropped.
//
// A checkpoint is a C2SP tlog-checkpoint in a signed note, cosigned by aggregators:
//
//	drystone/RUNID                    64 hexadecimal digits
//	SIZE                              decimal
//	ROOT                              base64 of 32 bytes
//	                                  empty line
//	EM-DASH PEERID SIGNATURE          one line per signer: base58 peer ID, base64 of 4 + 64 bytes
//
// The signature is secp256k1 ECDSA, R || S with low S, over protocol.Hash("checkpoint", text). C2SP assigns no type to
// it, so the key ID is that of the reserved type 0xff with an identifier of its own:
//
//	key ID = SHA-256(PEERID "\n" 0xff "drystone/secp256k1/1" compressed public key)[:4]
//
// Two checkpoints of one size, different roots and a common signer are a SplitView, which convicts that signer.
//
// # Proof files
//
//	+---------------------+-----------------------+-----------------------+
//	| "drystone proof 1\n"| canonical CBOR, Proof | SHA-256 of both, 32   |
//	+---------------------+-----------------------+-----------------------+
//
// In a run whose aggregators changed the first line says "drystone proof 2", and the content is [Proof, the Council
// statements up to the set that signed the checkpoint]. Each is signed by the quorum of the set before.
//
// A Proof holds what makes one contribution believable, and names bulk data (parameters, payloads, dataset) by digest:
//
//	run spec, Genesis -> [RevealSet, Certificate of r-1] -> Open -> Freeze -> RevealSet -> Certificate of r
//	Join (payout account), Commit with its path under the Freeze, both ends of its trace
//	payload digests and salts of every contribution to the merge
//	checks: draw, opened states and codec chunks, verdicts
//	checkpoint, and paths to it of Certificate, Join, Commit, draws and verdicts
//	optionally a settlement, the account's payout and its path
//
// Audit climbs five levels and reports which it reached, what it did not check, and how much of the contribution the
// draws covered:
//
//	L0  signatures, chain, inclusion in the log       the file alone
//	L1  draws, duty, challenge, verdicts              the file alone
//	L2  replay from the public parameters             needs parameters, payloads, dataset, an engine
//	L3  the round's merge                             needs parameters and all payloads of the round
//	L4  the payout                                    needs the ledger
//
// Without the RunID that the auditor brings, a report is unpinned: a forged run is consistent with itself.
//
// # Concurrency
//
// The package starts no goroutine. A Log is safe for concurrent use by one process; everything else is a value or a
// function of its arguments. Long work stops when its context ends, as soon as the Replayer does.
package verify

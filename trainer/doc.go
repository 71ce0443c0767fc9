// Package trainer does the work of a peer: it holds the dataset, runs the inner optimiser on an assignment, records the
// trace, and repeats any part of anyone's assignment to the bit.
//
// # Use
//
//	data, err := trainer.LoadDataset(ctx, spec.Data, manifest, fetch)
//	dev, err := trainer.NewDevice(spec, run, data, threads) // one per process: trainers and verifiers share it
//	defer dev.Close()
//
//	c, err := dev.Train(ctx, assignment, theta, trainer.TrainOptions{Peer: id, Salt: salt, Store: store})
//	commit := c.Commit(openDigest)      // publish, then wait for the Freeze
//	reveal, err := c.Reveal(0, frozen)  // one per shard
//	opening, err := c.Open(request)     // when a verifier asks
//
//	got, err := dev.ReplayOpening(ctx, assignment, segment, theta, opening) // the verifier's side
//
// # One inner step
//
// The state is theta and the AdamW moments m and v, three flat vectors in the order of models.Layout; m and v start each
// round at zero. Step s of round r, from 0, on assignment index i:
//
//  1. The batch is drawn by Dataset.Draw from chacha8rand keyed with Hash("sequence", run, r, i, s).
//  2. Loss and gradient of the model; a loss that is NaN or infinite is ErrDiverged.
//  3. n = sqrt(t), t the sum over tensors, ascending, of exact SumSquares of the gradient; ErrDiverged if not finite.
//     If clip > 0 and n > clip, the gradient is multiplied by clip/n.
//  4. exact AdamWStep with step s+1 per tensor. Weight decay applies to matrices, not to gains and biases.
//
// Settings are the RunSpec's float64 rounded to float32. The learning rate of the run's global step g = r*H + s, of
// T = rounds*H, with W steps of warm-up, is computed with 256 bits and rounded once:
//
//	g < W    lr * (g+1)/W
//	else     min_lr + (lr-min_lr) * (1 + cos(pi*(g-W)/(T-W))) / 2
//
// An assignment may name the shards to train (docs/protocol.md, "Shares"). Gradient, m, v and the optimiser then exist for
// these alone; the rest of theta stays as it is. Adjacent shards are one range, and step 3 and 4 go over the pieces into
// which ranges cut tensors, ascending; with all shards these are the tensors. A Device handles any shards, and holds the
// plan of the last ones.
//
// # Trace and contribution
//
// After every segment, and after the last step, the state is hashed (MerkleRoot over little-endian bytes) and checked to be
// finite. The pseudo-gradient u = theta_r - theta_H (theta_{r-1} - theta_H in a run with train.delay) is cut into shards, which package delta encodes. protocol documents
// the trace; Contribution answers for it.
//
// # On disk
//
// A ContributionStore keeps what openings and the next round need, so that a peer killed at any moment can still answer:
//
//	DIR/rNNNNNNNN.theta-SSS .m-SSS .v-SSS   state after segment SSS (the last one: theta only)
//	DIR/rNNNNNNNN.before .after             error feedback; absent for codecs without, before also when it is zero
//	DIR/rNNNNNNNN.payload-SSS               payload of shard SSS
//	DIR/rNNNNNNNN.contribution              CBOR record, written last: a round without it does not exist
//
// # Concurrency
//
// A Device runs one job at a time in order of arrival; its methods may be called from any goroutine and wait for their
// turn or their context. Dataset and Contribution are immutable and safe for concurrent use. The package starts
// goroutines only to hash, and waits for them before it returns.
package trainer

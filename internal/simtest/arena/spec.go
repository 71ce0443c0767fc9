package arena

import "drystone/protocol"

// Spec is the run of the published table: a Llama of one layer and a few thousand parameters, 40 rounds of 5 steps, dense
// updates, so that coordinate rules can play too. The learning rate ends at a twentieth, or the loss of the last round would
// say more about that round than about the run.
func Spec(seed uint64) protocol.RunSpec {
	return protocol.RunSpec{
		Name: "arena", Seed: seed, Engine: "exact-f32/2", Founder: protocol.DeriveKey(1, "arena/founder").ID(),
		Model: protocol.ModelSpec{Family: "llama", Dim: 16, Layers: 1, Heads: 2, KVHeads: 2, FFN: 32, Vocab: 256, Context: 32,
			NormEps: 1e-5, RopeTheta: 10000, Tied: true},
		Train: protocol.TrainSpec{Rounds: 40, Steps: 5, Segment: 5, Batch: 8, LR: 2e-2, MinLR: 1e-3, Warmup: 10, Beta1: 0.9, Beta2: 0.95,
			Eps: 1e-8, WeightDecay: 0.1, Clip: 1},
		Outer:     protocol.OuterSpec{Optimiser: "sgd", LR: 1},
		Codec:     protocol.CodecSpec{Up: "dense", ShardParams: 4096},
		Aggregate: protocol.AggregateSpec{Rule: "mean", MinPeers: 1},
		Verify:    protocol.VerifySpec{Kind: "prefix", Checks: 1, Window: 1},
		Payout:    protocol.PayoutSpec{Symbol: "STONE", EpochRounds: 1},
		Quorum:    protocol.QuorumSpec{Aggregators: 1, Threshold: 1},
		Deadlines: protocol.DeadlineSpec{Train: 1, Reveal: 1, Check: 1},
	}
}

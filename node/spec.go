package node

import (
	"drystone/protocol"
)

// DefaultSpec is the run that a launcher's template and the demonstration start from: a Llama of 0.9 M parameters on
// bytes, sparse pseudo-gradients, four aggregators of which three must agree. Updates are merged by the rule that stands
// up best in docs/robustness.md, against as many liars as a round's roster allows. Founder and data are to be filled in.
func DefaultSpec() protocol.RunSpec {
	return protocol.RunSpec{
		Name: "first-run", Seed: 1, Engine: "exact-f32/2",
		Model: protocol.ModelSpec{Family: "llama", Dim: 128, Layers: 4, Heads: 4, KVHeads: 4, FFN: 384, Vocab: 256, Context: 128,
			NormEps: 1e-5, RopeTheta: 10000},
		Data: protocol.DataSpec{Tokenizer: "bytes"},
		Train: protocol.TrainSpec{Rounds: 100, Steps: 30, Segment: 6, Batch: 8, LR: 3e-3, MinLR: 3e-4, Warmup: 10,
			Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1},
		Outer: protocol.OuterSpec{Optimiser: "sgd", LR: 1},
		Codec: protocol.CodecSpec{Up: "sparse", TopK: 256, ValueBits: 2, Decay: 0.95, ShardParams: 1 << 21},
		Aggregate: protocol.AggregateSpec{Rule: "centered-clip", NormCap: 3, Faults: protocol.MaxRoster / 2, Radius: 1, Mixing: true,
			MinPeers: 2},
		Verify:    protocol.VerifySpec{Kind: "segment", Checks: 1, Chunks: 2, Window: 2},
		Payout:    protocol.PayoutSpec{Symbol: "STONE", Budget: 1_000_000, EpochCap: 10_000, EpochRounds: 4, PerMillion: 1000},
		Quorum:    protocol.QuorumSpec{Aggregators: 4, Threshold: 3},
		Deadlines: protocol.DeadlineSpec{Train: 600, Reveal: 120, Check: 300},
	}
}

// DemoSpec is the demonstration's run: DefaultSpec at a length that two cores train in minutes. It has too few peers for a
// rule to outvote any, so it merges by the rule that is the mean but for a cap.
func DemoSpec(seed uint64, rounds, peers uint32) protocol.RunSpec {
	s := DefaultSpec()
	s.Name, s.Seed = "demo", seed
	s.Model.Layers = 3
	s.Train.Rounds, s.Train.Steps, s.Train.Segment = rounds, 20, 4
	s.Codec.TopK = 384
	s.Aggregate = protocol.AggregateSpec{Rule: "norm-clip", NormCap: 3, MinPeers: 1, StartPeers: peers}
	s.Deadlines = protocol.DeadlineSpec{Train: 3600, Reveal: 600, Check: 600}
	return s
}

// TinySpec is DemoSpec with a model of a few thousand parameters: for tests, and for machines without vector kernels.
func TinySpec(seed uint64, rounds, peers uint32) protocol.RunSpec {
	s := DemoSpec(seed, rounds, peers)
	s.Name = "tiny-demo"
	s.Model.Dim, s.Model.Layers, s.Model.Heads, s.Model.KVHeads, s.Model.FFN, s.Model.Context = 32, 1, 2, 2, 64, 32
	s.Train.Steps, s.Train.Segment, s.Train.Batch, s.Train.Warmup = 10, 2, 4, 5
	s.Codec.ShardParams = 8192
	return s
}

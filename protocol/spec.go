package protocol

import (
	"fmt"
	"time"
)

// RunSpec defines a run. It selects built-in models, rules and codecs and carries no code, so following one can execute
// nothing on a contributor's machine. Two people with one RunSpec get the same genesis bit for bit. In run.toml and in
// the canonical CBOR the fields have the same names.
type RunSpec struct {
	Name    string `toml:"name" cbor:"name"`       // 1 to 64 printable ASCII characters
	Seed    uint64 `toml:"seed" cbor:"seed"`       // everything random derives from the RunID, which this enters
	Engine  string `toml:"engine" cbor:"engine"`   // arithmetic profile and version; "exact-f32/2"
	Founder PeerID `toml:"founder" cbor:"founder"` // signs the Genesis

	Model     ModelSpec     `toml:"model" cbor:"model"`
	Data      DataSpec      `toml:"data" cbor:"data"`
	Train     TrainSpec     `toml:"train" cbor:"train"`
	Outer     OuterSpec     `toml:"outer" cbor:"outer"`
	Codec     CodecSpec     `toml:"codec" cbor:"codec"`
	Aggregate AggregateSpec `toml:"aggregate" cbor:"aggregate"`
	Verify    VerifySpec    `toml:"verify" cbor:"verify"`
	Payout    PayoutSpec    `toml:"payout" cbor:"payout"`
	Quorum    QuorumSpec    `toml:"quorum" cbor:"quorum"`
	Deadlines DeadlineSpec  `toml:"deadlines" cbor:"deadlines"`
}

// ModelSpec is the shape of a model family. A field that its family does not use is zero.
//
//	"llama"    decoder on sequences of tokens: all but the last six fields
//	"mlp"      Layers hidden layers of Dim values over Inputs features, each linear, bias, GELU; then linear and bias
//	"convnet"  Layers blocks over an image, each 3x3 convolution to Dim channels, bias, ReLU, 2x2 max pool; then linear and bias
type ModelSpec struct {
	Family    string  `toml:"family" cbor:"family"`         // "llama", "mlp" or "convnet"
	Dim       int     `toml:"dim" cbor:"dim"`               // llama: embedding width, a multiple of Heads; else hidden width or channels
	Layers    int     `toml:"layers" cbor:"layers"`         // decoder blocks, hidden layers, convolution blocks
	Heads     int     `toml:"heads" cbor:"heads"`           // query heads; Dim/Heads is even
	KVHeads   int     `toml:"kv_heads" cbor:"kv_heads"`     // key and value heads, divides Heads
	FFN       int     `toml:"ffn" cbor:"ffn"`               // width of the SwiGLU layer
	Vocab     int     `toml:"vocab" cbor:"vocab"`           // tokens; 256 for bytes
	Context   int     `toml:"context" cbor:"context"`       // tokens per sequence, T
	NormEps   float64 `toml:"norm_eps" cbor:"norm_eps"`     // RMSNorm epsilon
	RopeTheta float64 `toml:"rope_theta" cbor:"rope_theta"` // RoPE base
	Tied      bool    `toml:"tied" cbor:"tied"`             // the head shares the embedding

	// The rest is not encoded for a llama.
	Inputs   int    `toml:"inputs,omitzero" cbor:"inputs,omitzero"`     // mlp: features of an example
	Height   int    `toml:"height,omitzero" cbor:"height,omitzero"`     // convnet: rows of an image
	Width    int    `toml:"width,omitzero" cbor:"width,omitzero"`       // convnet: columns of an image
	Channels int    `toml:"channels,omitzero" cbor:"channels,omitzero"` // convnet: values per pixel
	Outputs  int    `toml:"outputs,omitzero" cbor:"outputs,omitzero"`   // mlp, convnet: classes, or values per example
	Loss     string `toml:"loss,omitempty" cbor:"loss,omitempty"`       // "cross-entropy"; mlp also "squared-error"
}

// DataSpec names the dataset. The manifest lists the chunks; peers fetch both by digest.
type DataSpec struct {
	Manifest  Digest `toml:"manifest" cbor:"manifest"`   // MerkleRoot of the canonical Manifest
	Tokenizer string `toml:"tokenizer" cbor:"tokenizer"` // "bytes", "u16le" or "u32le"; empty for examples
	Tokens    uint64 `toml:"tokens" cbor:"tokens"`       // length of the whole dataset, in tokens or examples
	Holdout   uint64 `toml:"holdout" cbor:"holdout"`     // last ones of it, never trained on
	// Kind is "examples" for the mlp and convnet families, and empty, not encoded, for sequences of tokens.
	Kind string `toml:"kind,omitempty" cbor:"kind,omitempty"`
}

// Examples is the Kind of a dataset of labelled examples.
const Examples = "examples"

// TrainSpec is the inner optimisation that each peer runs: AdamW (Loshchilov and Hutter 2019), moments reset each round.
type TrainSpec struct {
	Rounds      uint32  `toml:"rounds" cbor:"rounds"`
	Steps       uint32  `toml:"steps" cbor:"steps"`     // H, inner steps per round
	Segment     uint32  `toml:"segment" cbor:"segment"` // steps between trace states, the unit of a check; divides Steps
	Batch       int     `toml:"batch" cbor:"batch"`     // sequences or examples per step
	LR          float64 `toml:"lr" cbor:"lr"`           // peak learning rate
	MinLR       float64 `toml:"min_lr" cbor:"min_lr"`   // at the end of the cosine
	Warmup      uint32  `toml:"warmup" cbor:"warmup"`   // linear warm-up, in steps counted over the run
	Beta1       float64 `toml:"beta1" cbor:"beta1"`     // first moment decay
	Beta2       float64 `toml:"beta2" cbor:"beta2"`     // second moment decay
	Eps         float64 `toml:"eps" cbor:"eps"`         // AdamW epsilon
	WeightDecay float64 `toml:"weight_decay" cbor:"weight_decay"`
	Clip        float64 `toml:"clip" cbor:"clip"` // global gradient norm; 0 for none
	// MinShards admits peers that train only some shards of each round, at least so many; 0 means that everyone trains
	// all, and is not encoded.
	MinShards uint32 `toml:"min_shards,omitzero" cbor:"min_shards,omitzero"`

	// Delay, 0 or 1, is how many rounds late a merge reaches the training: with 1, round r trains from theta_{r-1}, so that a
	// peer trains while the round before is revealed, merged and fetched. 0 is not encoded.
	Delay uint32 `toml:"delay,omitzero" cbor:"delay,omitzero"`

	// MicroBatch and Recompute save memory for time and change no bit of the result. Their zero values are not encoded.
	MicroBatch int  `toml:"micro_batch,omitzero" cbor:"micro_batch,omitzero"` // sequences per pass; 0 for Batch
	Recompute  bool `toml:"recompute,omitempty" cbor:"recompute,omitempty"`   // compute layers again on the way back
}

// OuterSpec is the optimiser that applies the merged pseudo-gradient (DiLoCo, Douillard et al. 2023).
type OuterSpec struct {
	Optimiser string  `toml:"optimiser" cbor:"optimiser"` // "nesterov", "sgd", "fedadam" or "fedyogi"
	LR        float64 `toml:"lr" cbor:"lr"`
	Momentum  float64 `toml:"momentum" cbor:"momentum"` // 0 for sgd; beta1 of fedadam and fedyogi
	// The rest is for fedadam and fedyogi, and not encoded for the others.
	Beta2 float64 `toml:"beta2,omitzero" cbor:"beta2,omitzero"` // second moment decay
	Tau   float64 `toml:"tau,omitzero" cbor:"tau,omitzero"`     // added to the root of the second moment
}

// State returns the number of float32 of the optimiser's state for a model of params parameters: the momentum for
// nesterov, the first and then the second moments for fedadam and fedyogi, nothing for sgd. See RunSpec.OuterState.
func (o *OuterSpec) State(params int) int {
	switch o.Optimiser {
	case "nesterov":
		return params
	case "fedadam", "fedyogi":
		return 2 * params
	}
	return 0
}

// CodecSpec is the encoding of the pseudo-gradient on its way up, and of theta's step on its way down.
type CodecSpec struct {
	Up          string  `toml:"up" cbor:"up"`                     // "dense", "sparse", "rice", "int8" or "masked"
	TopK        int     `toml:"top_k" cbor:"top_k"`               // values kept per chunk of 4096, sparse, rice and masked only
	ValueBits   int     `toml:"value_bits" cbor:"value_bits"`     // 2 or 4, sparse and rice only
	Decay       float64 `toml:"decay" cbor:"decay"`               // error feedback decay, 0 for dense
	ShardParams int     `toml:"shard_params" cbor:"shard_params"` // parameters per shard, a multiple of 4096, at most 2^24
	// Stagger is in how many rounds every shard is sent once: shard k in the rounds r with k mod Stagger = r mod Stagger. What is
	// not sent waits in the error feedback. 0, which is not encoded, is for all shards in every round.
	Stagger uint32 `toml:"stagger,omitzero" cbor:"stagger,omitzero"`
	// The rest is the way down, like the fields above. Where there is none, and whole states travel, it is not encoded.
	Down          string  `toml:"down,omitempty" cbor:"down,omitempty"` // "sparse", "rice" or "int8"
	DownTopK      int     `toml:"down_top_k,omitzero" cbor:"down_top_k,omitzero"`
	DownValueBits int     `toml:"down_value_bits,omitzero" cbor:"down_value_bits,omitzero"`
	DownDecay     float64 `toml:"down_decay,omitzero" cbor:"down_decay,omitzero"`
}

// AggregateSpec is the merge rule.
type AggregateSpec struct {
	// Rule is "mean", "norm-clip", "multi-krum", "geometric-median", "centered-clip", "trimmed-mean" or "median".
	Rule     string  `toml:"rule" cbor:"rule"`
	NormCap  float64 `toml:"norm_cap" cbor:"norm_cap"`   // cap as a multiple of the median norm; 0 for none
	MinPeers uint32  `toml:"min_peers" cbor:"min_peers"` // a round opens with at least this many
	// StartPeers is how many the first round waits for; 0 means MinPeers, and is not encoded.
	StartPeers uint32 `toml:"start_peers,omitzero" cbor:"start_peers,omitzero"`
	// The rest is for the rules that follow norm-clip above; a zero is not encoded.
	Faults uint32  `toml:"faults,omitzero" cbor:"faults,omitzero"`   // f, contributors of a round that may lie
	Radius float64 `toml:"radius,omitzero" cbor:"radius,omitzero"`   // centered-clip: in median distances from its start
	Mixing bool    `toml:"mixing,omitempty" cbor:"mixing,omitempty"` // mix each contribution with its nearest first
}

// VerifySpec is the spot check of contributions.
type VerifySpec struct {
	Kind   string `toml:"kind" cbor:"kind"`     // "segment" or "prefix"
	Checks uint32 `toml:"checks" cbor:"checks"` // verifiers that each draw one segment of every contribution
	Chunks uint32 `toml:"chunks" cbor:"chunks"` // codec chunks drawn per check
	Window uint32 `toml:"window" cbor:"window"` // W: a verdict on round r takes effect at the opening of r+W
	// Grace says that the first absence in which a peer opens nothing costs it the pay of those rounds only. Without it, which
	// is not encoded, an opening withheld convicts like a false one.
	Grace bool `toml:"grace,omitempty" cbor:"grace,omitempty"`
}

// PayoutSpec is what verified work earns. Amounts are in whole tokens of the ledger, which has 18 decimals.
type PayoutSpec struct {
	Symbol      string `toml:"symbol" cbor:"symbol"`             // ERC-20 symbol
	Budget      uint64 `toml:"budget" cbor:"budget"`             // sponsored for the run
	EpochCap    uint64 `toml:"epoch_cap" cbor:"epoch_cap"`       // at most, per epoch
	EpochRounds uint32 `toml:"epoch_rounds" cbor:"epoch_rounds"` // rounds per epoch
	PerMillion  uint64 `toml:"per_million" cbor:"per_million"`   // earned per million verified training tokens
}

// QuorumSpec is the number of aggregators and of signatures that make a statement.
type QuorumSpec struct {
	Aggregators int `toml:"aggregators" cbor:"aggregators"` // n
	Threshold   int `toml:"threshold" cbor:"threshold"`     // t
}

// Faults returns the number f of lying aggregators that the quorum outvotes: t >= ceil((n+f+1)/2), n-t >= f.
func (q QuorumSpec) Faults() int {
	return max(0, min(2*q.Threshold-q.Aggregators-1, q.Aggregators-q.Threshold))
}

// DeadlineSpec bounds the phases of a round, in seconds of logged time. A phase ends early when everyone is done.
type DeadlineSpec struct {
	Train  uint32 `toml:"train" cbor:"train"`   // Open to Freeze
	Reveal uint32 `toml:"reveal" cbor:"reveal"` // Freeze to RevealSet
	Check  uint32 `toml:"check" cbor:"check"`   // a verifier's time for its draw and verdicts before the duty passes on
}

// TrainFor, RevealFor and CheckFor are the deadlines as durations.
func (d DeadlineSpec) TrainFor() time.Duration  { return time.Duration(d.Train) * time.Second }
func (d DeadlineSpec) RevealFor() time.Duration { return time.Duration(d.Reveal) * time.Second }
func (d DeadlineSpec) CheckFor() time.Duration  { return time.Duration(d.Check) * time.Second }

// ID returns the RunID: the digest of the canonical encoding. It fails for values that have no encoding (NaN).
func (s *RunSpec) ID() (Digest, error) {
	b, err := Encode(s)
	if err != nil {
		return Digest{}, err
	}
	return Hash(DomainRun, b), nil
}

// DecodeSpec parses a canonical RunSpec, validates it, and checks that it has the wanted RunID.
func DecodeSpec(data []byte, want Digest) (*RunSpec, error) {
	var s RunSpec
	if err := Decode(data, MaxSpec, &s); err != nil {
		return nil, err
	}
	if got := Hash(DomainRun, data); got != want {
		return nil, fmt.Errorf("run spec has RunID %s, want %s", got.Short(), want.Short())
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	return &s, nil
}

// Assignment is the work that a rule gives one peer in one round: Steps inner steps on the sequences drawn for Index, of
// the parameters in Shards. The others keep the value they have in theta_r.
type Assignment struct {
	Run    Digest
	Round  uint32
	Index  uint32   // place of the peer in the round's sorted roster
	Steps  uint32   // 1 to H
	Shards []uint32 // ascending; empty for all
}

// TokensPerStep is the number of training tokens of one inner step. An example counts as one token.
func (s *RunSpec) TokensPerStep() uint64 {
	return uint64(s.Train.Batch) * uint64(max(s.Model.Context, 1))
}

// Segments returns the number of trace segments of a contribution of the given steps. It is 0 for 0 steps only.
func (s *RunSpec) Segments(steps uint32) uint32 {
	return uint32((uint64(steps) + uint64(s.Train.Segment) - 1) / uint64(s.Train.Segment))
}

package protocol

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// One impossible value for every rule of Validate. The message must name the field, as it stands in run.toml.
func TestValidateRefuses(t *testing.T) {
	nan := math.NaN()
	table := []struct {
		field  string
		change func(s *RunSpec)
	}{
		{"name", func(s *RunSpec) { s.Name = "" }},
		{"name", func(s *RunSpec) { s.Name = strings.Repeat("a", 65) }},
		{"name", func(s *RunSpec) { s.Name = "line\nbreak" }},
		{"engine", func(s *RunSpec) { s.Engine = "exact-f32/1" }},
		{"founder", func(s *RunSpec) { s.Founder = PeerID{} }},
		{"model.family", func(s *RunSpec) { s.Model.Family = "" }},
		{"model.dim", func(s *RunSpec) { s.Model.Dim = 0 }},
		{"model.dim", func(s *RunSpec) { s.Model.Dim = 97 }},
		{"model.dim", func(s *RunSpec) { s.Model.Dim = 4 * 23 }}, // head size 23 is odd
		{"model.layers", func(s *RunSpec) { s.Model.Layers = -1 }},
		{"model.heads", func(s *RunSpec) { s.Model.Heads = 0 }},
		{"model.kv_heads", func(s *RunSpec) { s.Model.KVHeads = 0 }},
		{"model.kv_heads", func(s *RunSpec) { s.Model.KVHeads = 5 }},
		{"model.kv_heads", func(s *RunSpec) { s.Model.KVHeads = 3 }},
		{"model.ffn", func(s *RunSpec) { s.Model.FFN = math.MaxInt }},
		{"model.vocab", func(s *RunSpec) { s.Model.Vocab = 255 }},
		{"model.context", func(s *RunSpec) { s.Model.Context = 1<<17 + 1 }},
		{"model.norm_eps", func(s *RunSpec) { s.Model.NormEps = 0 }},
		{"model.rope_theta", func(s *RunSpec) { s.Model.RopeTheta = nan }},
		{"model.inputs", func(s *RunSpec) { s.Model.Inputs = 1 }}, // a llama has none of these
		{"model.height", func(s *RunSpec) { s.Model.Height = 1 }},
		{"model.width", func(s *RunSpec) { s.Model.Width = -1 }},
		{"model.channels", func(s *RunSpec) { s.Model.Channels = 1 }},
		{"model.outputs", func(s *RunSpec) { s.Model.Outputs = 1 }},
		{"model.loss", func(s *RunSpec) { s.Model.Loss = "cross-entropy" }},
		{"data.kind", func(s *RunSpec) { s.Data.Kind = Examples }},
		{"data.tokenizer", func(s *RunSpec) { s.Data.Tokenizer = "bpe" }},
		{"data.tokens", func(s *RunSpec) { s.Data.Tokens = math.MaxUint64 }},
		{"data.tokens", func(s *RunSpec) { s.Data.Tokens = s.Data.Holdout + uint64(s.Model.Context) }},
		{"data.tokens", func(s *RunSpec) { s.Data.Tokens = 0 }},
		{"data.holdout", func(s *RunSpec) { s.Data.Holdout = uint64(s.Model.Context) }},
		{"train.rounds", func(s *RunSpec) { s.Train.Rounds = 0 }},
		{"train.steps", func(s *RunSpec) { s.Train.Steps = 0 }},
		{"train.segment", func(s *RunSpec) { s.Train.Segment = 0 }},
		{"train.segment", func(s *RunSpec) { s.Train.Segment = 4 }},
		{"train.segment", func(s *RunSpec) { s.Train.Segment = s.Train.Steps + 1 }},
		{"train.steps / train.segment", func(s *RunSpec) { s.Train.Steps, s.Train.Segment = 1<<16, 1 }},
		{"train.batch", func(s *RunSpec) { s.Train.Batch = math.MinInt }},
		{"train.lr", func(s *RunSpec) { s.Train.LR = math.Inf(1) }},
		{"train.min_lr", func(s *RunSpec) { s.Train.MinLR = 2 * s.Train.LR }},
		{"train.warmup", func(s *RunSpec) { s.Train.Warmup = math.MaxUint32 }},
		{"train.beta1", func(s *RunSpec) { s.Train.Beta1 = 1 }},
		{"train.beta2", func(s *RunSpec) { s.Train.Beta2 = 1 }},
		{"train.eps", func(s *RunSpec) { s.Train.Eps = 0 }},
		{"train.weight_decay", func(s *RunSpec) { s.Train.WeightDecay = -1e-9 }},
		{"train.clip", func(s *RunSpec) { s.Train.Clip = nan }},
		{"train.min_shards", func(s *RunSpec) { s.Train.MinShards = 1<<14 + 1 }},
		{"verify.chunks", func(s *RunSpec) { s.Train.MinShards, s.Verify.Chunks = 1, 33 }},
		{"train.micro_batch", func(s *RunSpec) { s.Train.MicroBatch = -1 }},
		{"train.micro_batch", func(s *RunSpec) { s.Train.MicroBatch = s.Train.Batch + 1 }},
		{"train.micro_batch", func(s *RunSpec) { s.Train.Batch, s.Train.MicroBatch, s.Model.Context = 9, 4, 128 }},
		{"train.micro_batch", func(s *RunSpec) { s.Train.Batch, s.Train.MicroBatch, s.Model.Context = 9, 3, 64 }},
		{"outer.optimiser", func(s *RunSpec) { s.Outer.Optimiser = "adam" }},
		{"outer.lr", func(s *RunSpec) { s.Outer.LR = 0 }},
		{"outer.momentum", func(s *RunSpec) { s.Outer.Momentum = 1 }},
		{"outer.momentum", func(s *RunSpec) { s.Outer.Optimiser = "sgd" }},
		{"outer.beta2", func(s *RunSpec) { s.Outer.Beta2 = 0.99 }},
		{"outer.beta2", func(s *RunSpec) { s.Outer.Optimiser, s.Outer.Beta2, s.Outer.Tau = "fedadam", 1, 1e-3 }},
		{"outer.tau", func(s *RunSpec) { s.Outer.Tau = 1e-3 }},
		{"outer.tau", func(s *RunSpec) { s.Outer.Optimiser, s.Outer.Beta2 = "fedyogi", 0.99 }},
		{"codec.up", func(s *RunSpec) { s.Codec.Up = "lossy" }},
		{"codec.top_k", func(s *RunSpec) { s.Codec.TopK = 4097 }},
		{"codec.top_k", func(s *RunSpec) { s.Codec.Up = "dense" }},
		{"codec.top_k", func(s *RunSpec) { s.Codec.Up = "int8" }},
		{"train.delay", func(s *RunSpec) { s.Train.Delay = 2 }},
		{"codec.up", func(s *RunSpec) { s.Codec.Up = "mask" }},
		{"codec.value_bits", func(s *RunSpec) { s.Codec.Up, s.Codec.ValueBits = "masked", 2 }},
		{"codec.top_k", func(s *RunSpec) { s.Codec.Up, s.Codec.ValueBits, s.Codec.TopK = "masked", 0, 0 }},
		{"codec.stagger", func(s *RunSpec) { s.Codec.Stagger = 1 }},
		{"codec.stagger", func(s *RunSpec) { s.Codec.Stagger = 65 }},
		{"codec.stagger", func(s *RunSpec) { s.Codec = CodecSpec{Up: "dense", ShardParams: 4096, Stagger: 2} }},
		{"codec.value_bits", func(s *RunSpec) { s.Codec.Up, s.Codec.ValueBits = "rice", 8 }},
		{"codec.decay", func(s *RunSpec) { s.Codec = CodecSpec{Up: "dense", Decay: 0.5, ShardParams: 4096} }},
		{"codec.decay", func(s *RunSpec) { s.Codec = CodecSpec{Up: "int8", Decay: 2, ShardParams: 4096} }},
		{"codec.value_bits", func(s *RunSpec) { s.Codec.ValueBits = 3 }},
		{"codec.decay", func(s *RunSpec) { s.Codec.Decay = 1.5 }},
		{"codec.down", func(s *RunSpec) { s.Codec.Down = "dense" }},
		{"codec.down", func(s *RunSpec) { s.Codec.Down = "masked" }},
		{"codec.down_top_k", func(s *RunSpec) { s.Codec.DownTopK = 64 }},
		{"codec.down", func(s *RunSpec) { s.Codec.DownDecay = 0.5 }},
		{"codec.down_top_k", func(s *RunSpec) { s.Codec.Down, s.Codec.DownValueBits = "rice", 2 }},
		{"codec.down_top_k", func(s *RunSpec) { s.Codec.Down, s.Codec.DownTopK = "int8", 64 }},
		{"codec.down_value_bits", func(s *RunSpec) { s.Codec.Down, s.Codec.DownTopK, s.Codec.DownValueBits = "sparse", 64, 8 }},
		{"codec.down_decay", func(s *RunSpec) { s.Codec.Down, s.Codec.DownDecay = "int8", 1.5 }},
		{"codec.shard_params", func(s *RunSpec) { s.Codec.ShardParams = 4097 }},
		{"codec.shard_params", func(s *RunSpec) { s.Codec.ShardParams = 0 }},
		{"codec.shard_params", func(s *RunSpec) { s.Codec.TopK, s.Codec.ShardParams = 4096, 1<<24 }}, // message too large
		{"aggregate.rule", func(s *RunSpec) { s.Aggregate.Rule = "krum" }},
		{"aggregate.rule", func(s *RunSpec) { s.Aggregate = AggregateSpec{Rule: "median", MinPeers: 2} }}, // sparse
		{"aggregate.faults", func(s *RunSpec) { s.Aggregate.Faults = 1 }},
		{"aggregate.faults", func(s *RunSpec) { s.Aggregate = AggregateSpec{Rule: "multi-krum", MinPeers: 5} }},
		{"aggregate.faults", func(s *RunSpec) { s.Aggregate = AggregateSpec{Rule: "multi-krum", MinPeers: 4, Faults: MaxRoster + 1} }},
		{"aggregate.faults", func(s *RunSpec) {
			s.Aggregate = AggregateSpec{Rule: "geometric-median", MinPeers: 5, Faults: math.MaxUint32}
		}},
		{"aggregate.faults", func(s *RunSpec) {
			s.Codec, s.Aggregate = CodecSpec{Up: "dense", ShardParams: 4096}, AggregateSpec{Rule: "trimmed-mean", MinPeers: 2, Faults: 1}
		}},
		{"aggregate.faults", func(s *RunSpec) {
			s.Codec, s.Aggregate = CodecSpec{Up: "dense", ShardParams: 4096}, AggregateSpec{Rule: "trimmed-mean", MinPeers: 2}
		}},
		{"aggregate.radius", func(s *RunSpec) { s.Aggregate.Radius = 1 }},
		{"aggregate.radius", func(s *RunSpec) { s.Aggregate = AggregateSpec{Rule: "centered-clip", MinPeers: 2} }},
		{"aggregate.mixing", func(s *RunSpec) { s.Aggregate.Mixing = true }},
		{"aggregate.mixing", func(s *RunSpec) { s.Aggregate = AggregateSpec{Rule: "geometric-median", MinPeers: 2, Mixing: true} }},
		{"aggregate.norm_cap", func(s *RunSpec) { s.Aggregate = AggregateSpec{Rule: "geometric-median", MinPeers: 2, NormCap: 0.5} }},
		{"aggregate.norm_cap", func(s *RunSpec) { s.Aggregate.NormCap = 0.5 }},
		{"aggregate.norm_cap", func(s *RunSpec) { s.Aggregate.Rule = "mean" }},
		{"aggregate.min_peers", func(s *RunSpec) { s.Aggregate.MinPeers = MaxRoster + 1 }},
		{"aggregate.start_peers", func(s *RunSpec) { s.Aggregate.MinPeers, s.Aggregate.StartPeers = 3, 2 }},
		{"verify.kind", func(s *RunSpec) { s.Verify.Kind = "trust" }},
		{"verify.checks", func(s *RunSpec) { s.Verify.Checks = 5 }},
		{"verify.chunks", func(s *RunSpec) { s.Verify.Chunks = 65 }},
		{"verify.window", func(s *RunSpec) { s.Verify.Window = 0 }},
		{"payout.symbol", func(s *RunSpec) { s.Payout.Symbol = "" }},
		{"payout.budget", func(s *RunSpec) { s.Payout.Budget = math.MaxUint64 }},
		{"payout.epoch_cap", func(s *RunSpec) { s.Payout.EpochCap = s.Payout.Budget + 1 }},
		{"payout.epoch_rounds", func(s *RunSpec) { s.Payout.EpochRounds = 0 }},
		{"payout.per_million", func(s *RunSpec) { s.Payout.PerMillion = math.MaxUint64 }},
		{"quorum.aggregators", func(s *RunSpec) { s.Quorum.Aggregators, s.Quorum.Threshold = 65, 40 }},
		{"quorum.threshold", func(s *RunSpec) { s.Quorum.Threshold = 2 }},
		{"quorum.threshold", func(s *RunSpec) { s.Quorum.Threshold = 5 }},
		{"deadlines.train", func(s *RunSpec) { s.Deadlines.Train = 0 }},
		{"deadlines.reveal", func(s *RunSpec) { s.Deadlines.Reveal = math.MaxUint32 }},
		{"deadlines.check", func(s *RunSpec) { s.Deadlines.Check = 0 }},
	}
	covered := map[string]bool{"seed": true, "model.tied": true, "data.manifest": true, "train.recompute": true, "verify.grace": true} // any value will do
	for _, tt := range table {
		s := testSpec()
		tt.change(s)
		err := s.Validate()
		if !errors.Is(err, ErrBadSpec) || !strings.Contains(err.Error(), tt.field) {
			t.Errorf("%s: %v", tt.field, err)
		}
		covered[tt.field] = true
	}
	for field := range fieldsOf(testSpec()) {
		if !covered[field] {
			t.Errorf("no impossible value of %s in the table", field)
		}
	}
	if err := testSpec().Validate(); err != nil {
		t.Errorf("the spec that they start from: %v", err)
	}
}

// fieldsOf returns the fields of s by their names in run.toml.
func fieldsOf(s *RunSpec) map[string]reflect.Value {
	out := map[string]reflect.Value{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("toml"), ",")
			name := prefix + tag
			if f := v.Field(i); f.Kind() == reflect.Struct {
				walk(name+".", f)
			} else {
				out[name] = f
			}
		}
	}
	walk("", reflect.ValueOf(s).Elem())
	return out
}

// The names of a RunSpec's fields are the same in run.toml and in the encoding.
func TestFieldNamesAgree(t *testing.T) {
	var walk func(v reflect.Type)
	walk = func(v reflect.Type) {
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Tag.Get("toml") == "" || f.Tag.Get("toml") != f.Tag.Get("cbor") || f.Tag.Get("toml") != strings.ToLower(f.Tag.Get("toml")) {
				t.Errorf("%s.%s: toml %q, cbor %q", v.Name(), f.Name, f.Tag.Get("toml"), f.Tag.Get("cbor"))
			}
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[RunSpec]())
}

// extremes returns the hostile values of a numeric field's type.
func extremes(v reflect.Value) []reflect.Value {
	var out []reflect.Value
	add := func(vals ...any) {
		for _, x := range vals {
			out = append(out, reflect.ValueOf(x).Convert(v.Type()))
		}
	}
	switch v.Kind() {
	case reflect.Int:
		add(0, -1, 1, math.MaxInt, math.MinInt)
	case reflect.Uint32:
		add(uint32(0), uint32(1), uint32(math.MaxUint32))
	case reflect.Uint64:
		add(uint64(0), uint64(1), uint64(math.MaxUint64), uint64(1)<<63)
	case reflect.Float64:
		add(0.0, math.Copysign(0, -1), -1.0, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, math.SmallestNonzeroFloat64)
	}
	return out
}

// No pair of hostile values makes Validate panic, and what it lets through is safe to compute with.
func TestValidateHostilePairs(t *testing.T) {
	type setting struct {
		field string
		value reflect.Value
	}
	var all []setting
	for name, f := range fieldsOf(testSpec()) {
		for _, v := range extremes(f) {
			all = append(all, setting{name, v})
		}
	}
	base, valid := testSpec(), 0
	for i, a := range all {
		for _, b := range all[i:] {
			s := *base
			fields := fieldsOf(&s)
			fields[a.field].Set(a.value)
			fields[b.field].Set(b.value)
			if s.Validate() == nil {
				valid++
				useSpec(t, &s)
			}
		}
		if testing.Short() && i > 40 {
			break
		}
	}
	if valid == 0 {
		t.Error("no pair was valid, so nothing was tried")
	}
}

// useSpec calls everything that computes with a valid spec.
func useSpec(t interface{ Fatalf(string, ...any) }, s *RunSpec) {
	if _, err := s.ID(); err != nil {
		t.Fatalf("valid spec without a RunID: %v\n%+v", err, s)
	}
	for _, steps := range []uint32{1, s.Train.Steps, math.MaxUint32} {
		if n := s.Segments(steps); n < 1 || uint64(n)*uint64(s.Train.Segment) < uint64(steps) {
			t.Fatalf("%d steps in %d segments of %d", steps, n, s.Train.Segment)
		}
	}
	for _, params := range []int{1, s.Codec.ShardParams, s.Codec.ShardParams + 1, 1 << 40} {
		n := s.Codec.Shards(params)
		lo, hi := s.Codec.Shard(params, n-1)
		if hi != params || lo >= hi || hi-lo > s.Codec.ShardParams {
			t.Fatalf("last of %d shards of %d parameters is %d to %d", n, params, lo, hi)
		}
	}
	if b := s.Codec.PayloadBound(); b < 1 || b > MaxMessage {
		t.Fatalf("payloads of %d bytes", b)
	}
	if s.TokensPerStep() == 0 || s.Quorum.Faults() < 0 || MaxOpening(1<<40, s.Verify.Chunks) < 12<<40 {
		t.Fatalf("tokens per step %d, faults %d", s.TokensPerStep(), s.Quorum.Faults())
	}
	if s.Deadlines.TrainFor() <= 0 || s.Deadlines.RevealFor() <= 0 || s.Deadlines.CheckFor() <= 0 {
		t.Fatalf("deadlines %+v", s.Deadlines)
	}
}

// DESIGN: t >= ceil((n+f+1)/2) outvotes f liars; 3 of 4, 4 of 5 and 5 of 7 are the examples, 2 of 3 is crash-only.
func TestQuorumFaults(t *testing.T) {
	for _, tt := range []struct{ n, t, f int }{{1, 1, 0}, {3, 2, 0}, {4, 3, 1}, {5, 4, 1}, {7, 5, 2}, {4, 4, 0}, {10, 7, 3}} {
		if f := (QuorumSpec{tt.n, tt.t}).Faults(); f != tt.f {
			t.Errorf("%d of %d: %d faults, want %d", tt.t, tt.n, f, tt.f)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, MaxSigners).Draw(t, "n")
		q := QuorumSpec{n, rapid.IntRange(n/2+1, n).Draw(t, "t")}
		// Two quorums share at least one honest member: 2t - n - f >= 1.
		if f := q.Faults(); 2*q.Threshold-q.Aggregators-f < 1 || q.Aggregators-f < q.Threshold {
			t.Fatalf("%+v claims to outvote %d liars", q, f)
		}
	})
}

// genSpec draws valid specs.
func genSpec() *rapid.Generator[*RunSpec] {
	return rapid.Custom(func(t *rapid.T) *RunSpec {
		s := testSpec()
		s.Name = rapid.StringMatching(`[ -~]{1,64}`).Draw(t, "name")
		s.Seed = rapid.Uint64Max(math.MaxInt64).Draw(t, "seed") // TOML integers have 63 bits
		s.Model.KVHeads = rapid.IntRange(1, 4).Draw(t, "kv_heads")
		s.Model.Heads = s.Model.KVHeads * rapid.IntRange(1, 4).Draw(t, "groups")
		s.Model.Dim = s.Model.Heads * 2 * rapid.IntRange(1, 32).Draw(t, "half head")
		s.Model.NormEps = rapid.Float64Range(1e-12, 1).Draw(t, "norm_eps")
		s.Model.Tied = rapid.Bool().Draw(t, "tied")
		s.Train.Segment = rapid.Uint32Range(1, 8).Draw(t, "segment")
		s.Train.Steps = s.Train.Segment * rapid.Uint32Range(1, 100).Draw(t, "segments")
		s.Train.LR = rapid.Float64Range(1e-12, 10).Draw(t, "lr")
		s.Train.MinLR = rapid.Float64Range(0, s.Train.LR).Draw(t, "min_lr")
		s.Train.Clip = rapid.Float64Range(0, 1e6).Draw(t, "clip")
		switch rapid.IntRange(0, 3).Draw(t, "codec") {
		case 0:
			s.Codec = CodecSpec{Up: "dense", ShardParams: 4096 * rapid.IntRange(1, 32).Draw(t, "shard")}
		case 1:
			s.Codec = CodecSpec{Up: "int8", Decay: 0.5, ShardParams: 4096 * rapid.IntRange(1, 200).Draw(t, "shard")}
		case 2:
			s.Codec.Up, s.Codec.ValueBits = "rice", 2*rapid.IntRange(1, 2).Draw(t, "value_bits")
		}
		if rapid.Bool().Draw(t, "sgd") {
			s.Outer = OuterSpec{Optimiser: "sgd", LR: rapid.Float64Range(1e-6, 10).Draw(t, "outer lr")}
		}
		if rapid.Bool().Draw(t, "adaptive") {
			s.Outer.Optimiser, s.Outer.Momentum = "fedyogi", 0.9
			s.Outer.Beta2, s.Outer.Tau = rapid.Float64Range(0, 0.999).Draw(t, "beta2"), 1e-3
		}
		switch rapid.SampledFrom([]string{"", "clip", "krum", "trim"}).Draw(t, "rule") {
		case "clip":
			s.Aggregate = AggregateSpec{Rule: "centered-clip", NormCap: 3, MinPeers: 5, Faults: 1, Radius: rapid.Float64Range(0.01, 100).Draw(t, "radius"), Mixing: rapid.Bool().Draw(t, "mixing")}
		case "krum":
			s.Aggregate = AggregateSpec{Rule: "multi-krum", MinPeers: 9, Faults: rapid.Uint32Range(1, 3).Draw(t, "faults")}
		case "trim":
			s.Codec = CodecSpec{Up: "dense", ShardParams: 4096}
			s.Aggregate = AggregateSpec{Rule: "trimmed-mean", MinPeers: 3, Faults: 1}
		}
		s.Payout.Budget = rapid.Uint64Max(1e15).Draw(t, "budget")
		s.Payout.EpochCap = rapid.Uint64Max(s.Payout.Budget).Draw(t, "epoch_cap")
		return s
	})
}

// A spec comes back from its encoding and from run.toml as it was, so both name one RunID.
func TestSpecRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := genSpec().Draw(t, "spec")
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		data, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.ID()
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeSpec(data, id)
		if err != nil || *got != *s {
			t.Fatalf("through CBOR: %v\n got %+v\nwant %+v", err, got, s)
		}
		var text bytes.Buffer
		if err := toml.NewEncoder(&text).Encode(s); err != nil {
			t.Fatal(err)
		}
		var fromText RunSpec
		if err := ParseTOML("run.toml", text.Bytes(), &fromText); err != nil || fromText != *s {
			t.Fatalf("through TOML: %v\n got %+v\nwant %+v", err, fromText, s)
		}
	})
}

func TestDecodeSpecValidates(t *testing.T) {
	s := testSpec()
	s.Train.Steps = 0
	data, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := DecodeSpec(data, mustID(t, s)); got != nil || !errors.Is(err, ErrBadSpec) {
		t.Errorf("%+v %v", got, err)
	}
}

// Messages about a run.toml say which file, and which line or key.
func TestParseTOMLRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		want []string // parts of the message
	}{
		"unknown key":        {"bogus = 1\n", []string{"bogus"}},
		"unknown inner key":  {"[train]\nlearning_rate = 1\n", []string{"train.learning_rate"}},
		"unknown table":      {"[training]\nlr = 1.0\n", []string{"training"}},
		"other case":         {"seed = 1\nSeed = 2\n", []string{"Seed"}},
		"other case, table":  {"[Train]\nlr = 1.0\n", []string{"Train"}},
		"text for number":    {"\n\n[train]\nlr = \"fast\"\n", []string{"line 4", "train.lr"}},
		"number for text":    {"\nname = 3\n", []string{"line 2", "name"}},
		"float for integer":  {"[train]\nsteps = 1.5\n", []string{"line 2", "train.steps"}},
		"negative":           {"[train]\nrounds = -1\n", []string{"line 2", "train.rounds"}},
		"too large":          {"seed = 99999999999999999999\n", []string{"line 1", "seed"}},
		"value for table":    {"train = 3\n", []string{"line 1", "train"}},
		"array of tables":    {"[[train]]\nlr = 1.0\n", []string{"line 1", "train"}},
		"key twice":          {"[train]\nlr = 1.0\nlr = 2.0\n", []string{"line 3", "train.lr"}},
		"bad founder":        {"\nfounder = \"me\"\n", []string{"line 2", "founder"}},
		"bad manifest":       {"[data]\nmanifest = \"00\"\n", []string{"line 2", "data.manifest", "64 hexadecimal"}},
		"broken syntax":      {"seed = 1\nname = [\n", []string{"line"}},
		"larger than a spec": {strings.Repeat("# comment\n", MaxSpec/10+1), []string{"limit"}},
	} {
		err := ParseTOML("my.toml", []byte(tt.text), new(RunSpec))
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		for _, part := range append(tt.want, "my.toml") {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q does not say %q", name, err, part)
			}
		}
	}
	s := testSpec()
	if err := ParseTOML("my.toml", []byte("[train]\nlr = 1\n"), s); err != nil || s.Train.LR != 1 || s.Train.Steps != 15 {
		t.Errorf("a whole number for a rate, over defaults: %v %+v", err, s.Train)
	}
}

// docs/protocol.md has a line for every key of a run spec, and none for a key that there is not.
func TestKeysDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "docs", "protocol.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(page), "## Keys of a run spec")
	if !ok {
		t.Fatal("docs/protocol.md has no section on the keys")
	}
	documented := map[string]bool{}
	for _, line := range strings.Split(table, "\n") {
		if key, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok {
			documented[key] = true
		}
	}
	for key := range fieldsOf(testSpec()) {
		if !documented[key] {
			t.Errorf("docs/protocol.md does not describe %s", key)
		}
		delete(documented, key)
	}
	for key := range documented {
		t.Errorf("docs/protocol.md describes %q, which is no key", key)
	}
}

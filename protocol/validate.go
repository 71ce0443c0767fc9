package protocol

import (
	"errors"
	"fmt"
	"math"
)

// ErrBadSpec means that a RunSpec holds a value that no run can have; the text names the field.
var ErrBadSpec = errors.New("impossible run spec")

// checker collects the first violated rule, so that Validate reads as a list of rules.
type checker struct{ err error }

func (c *checker) rule(ok bool, format string, args ...any) {
	if c.err == nil && !ok {
		c.err = fmt.Errorf("%w: %s", ErrBadSpec, fmt.Sprintf(format, args...))
	}
}

func (c *checker) between(field string, v, lo, hi float64) {
	c.rule(v >= lo && v <= hi, "%s = %v, want %v to %v", field, v, lo, hi)
}

func (c *checker) oneOf(field, v string, allowed ...string) {
	for _, a := range allowed {
		if v == a {
			return
		}
	}
	c.rule(false, "%s = %q, want one of %q", field, clip(v), allowed)
}

// Validate checks every field against its range and the fields against each other. It returns the first violation,
// wrapped in ErrBadSpec.
func (s *RunSpec) Validate() error {
	var c checker
	c.rule(printable(s.Name, 64), "name = %q, want 1 to 64 printable ASCII characters", clip(s.Name))
	c.oneOf("engine", s.Engine, "exact-f32/2")
	if _, err := s.Founder.publicKey(); err != nil {
		c.rule(false, "founder is no public key: %v", err)
	}
	s.Model.validate(&c)
	s.validateData(&c)
	s.Train.validate(&c)
	s.validatePasses(&c)
	s.validateMerge(&c)
	s.validateChecks(&c)
	s.validatePayout(&c)
	return c.err
}

func printable(s string, limit int) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) >= 1 && len(s) <= limit
}

func (t *TrainSpec) validate(c *checker) {
	c.between("train.rounds", float64(t.Rounds), 1, 1<<24)
	c.between("train.steps", float64(t.Steps), 1, 1<<16)
	c.between("train.segment", float64(t.Segment), 1, float64(t.Steps))
	c.between("train.batch", float64(t.Batch), 1, 1<<16)
	c.between("train.lr", t.LR, 1e-12, 10)
	c.between("train.min_lr", t.MinLR, 0, t.LR)
	c.between("train.warmup", float64(t.Warmup), 0, 1<<30)
	c.between("train.beta1", t.Beta1, 0, math.Nextafter(1, 0))
	c.between("train.beta2", t.Beta2, 0, math.Nextafter(1, 0))
	c.between("train.eps", t.Eps, 1e-12, 1)
	c.between("train.weight_decay", t.WeightDecay, 0, 1)
	c.between("train.clip", t.Clip, 0, 1e6)
	c.between("train.delay", float64(t.Delay), 0, 1)
	c.between("train.min_shards", float64(t.MinShards), 0, 1<<14)
	c.rule(c.err != nil || t.Steps%t.Segment == 0, "train.segment = %d does not divide steps = %d", t.Segment, t.Steps)
	c.rule(c.err != nil || t.Steps/t.Segment <= 4096, "train.steps / train.segment = %d, want at most 4096 segments", t.Steps/max(t.Segment, 1))
}

// Bounds of a step's batch, which a peer holds in memory: tokens, and numbers of examples.
const (
	maxBatchTokens = 1 << 24
	maxBatchValues = 1 << 28
)

// validatePasses checks that a batch is not too large, and cut where a fold over rows may be (docs/numerics.md, section 2).
func (s *RunSpec) validatePasses(c *checker) {
	if c.err == nil {
		tokens, values := int64(s.Train.Batch)*int64(s.Model.Context), int64(s.Train.Batch)*int64(s.Model.Features())
		c.rule(tokens <= maxBatchTokens, "train.batch = %d with context = %d: %d tokens a step, want at most %d", s.Train.Batch, s.Model.Context, tokens, maxBatchTokens)
		c.rule(values <= maxBatchValues, "train.batch = %d: %d input values a step, want at most %d", s.Train.Batch, values, maxBatchValues)
	}
	n := s.Train.MicroBatch
	c.between("train.micro_batch", float64(n), 0, float64(s.Train.Batch))
	if c.err == nil && n > 0 && n < s.Train.Batch {
		c.rule(s.Train.Batch%n == 0, "train.micro_batch = %d does not divide batch = %d", n, s.Train.Batch)
		c.rule(n*max(s.Model.Context, 1)%128 == 0, "train.micro_batch = %d with context = %d: want a multiple of 128 rows", n, s.Model.Context)
	}
}

func (s *RunSpec) validateMerge(c *checker) {
	s.Outer.validate(c)
	s.Codec.validate(c)
	s.validateRule(c)
	c.between("aggregate.min_peers", float64(s.Aggregate.MinPeers), 1, MaxRoster)
	c.rule(s.Aggregate.StartPeers == 0 || s.Aggregate.StartPeers >= s.Aggregate.MinPeers && s.Aggregate.StartPeers <= MaxRoster,
		"aggregate.start_peers = %d, want 0 or min_peers = %d to %d", s.Aggregate.StartPeers, s.Aggregate.MinPeers, MaxRoster)
}

func (s *RunSpec) validateChecks(c *checker) {
	c.oneOf("verify.kind", s.Verify.Kind, "segment", "prefix")
	c.between("verify.checks", float64(s.Verify.Checks), 1, float64(max(s.Quorum.Aggregators, 1)))
	c.between("verify.chunks", float64(s.Verify.Chunks), 0, 64)
	c.rule(s.Train.MinShards == 0 || s.Verify.Chunks <= 32, "verify.chunks = %d with train.min_shards, want 0 to 32: as many again are drawn of shards left out", s.Verify.Chunks)
	c.between("verify.window", float64(s.Verify.Window), 1, 1024)
	q := s.Quorum
	c.between("quorum.aggregators", float64(q.Aggregators), 1, MaxSigners)
	c.rule(q.Threshold > q.Aggregators/2 && q.Threshold <= q.Aggregators, "quorum.threshold = %d of %d, want a majority", q.Threshold, q.Aggregators)
	c.between("deadlines.train", float64(s.Deadlines.Train), 1, 30*24*3600)
	c.between("deadlines.reveal", float64(s.Deadlines.Reveal), 1, 30*24*3600)
	c.between("deadlines.check", float64(s.Deadlines.Check), 1, 30*24*3600)
}

func (s *RunSpec) validatePayout(c *checker) {
	p := s.Payout
	c.rule(printable(p.Symbol, 11), "payout.symbol = %q, want 1 to 11 printable ASCII characters", clip(p.Symbol))
	c.between("payout.budget", float64(p.Budget), 0, 1e15)
	c.between("payout.epoch_cap", float64(p.EpochCap), 0, float64(p.Budget))
	c.between("payout.epoch_rounds", float64(p.EpochRounds), 1, 1<<20)
	c.between("payout.per_million", float64(p.PerMillion), 0, 1e12)
}

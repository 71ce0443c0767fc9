package protocol

import "math"

func (o *OuterSpec) validate(c *checker) {
	c.oneOf("outer.optimiser", o.Optimiser, "nesterov", "sgd", "fedadam", "fedyogi")
	c.between("outer.lr", o.LR, 1e-6, 10)
	if o.Optimiser == "sgd" {
		c.rule(o.Momentum == 0, "outer.momentum = %v, want 0 with optimiser sgd", o.Momentum)
	} else {
		c.between("outer.momentum", o.Momentum, 0, math.Nextafter(1, 0))
	}
	if o.Optimiser == "fedadam" || o.Optimiser == "fedyogi" {
		c.between("outer.beta2", o.Beta2, 0, math.Nextafter(1, 0))
		c.between("outer.tau", o.Tau, 1e-12, 1)
	} else {
		c.rule(o.Beta2 == 0, "outer.beta2 = %v, want 0 with optimiser %s", o.Beta2, clip(o.Optimiser))
		c.rule(o.Tau == 0, "outer.tau = %v, want 0 with optimiser %s", o.Tau, clip(o.Optimiser))
	}
}

// Kinds of merge rules.
const (
	ruleScales     = iota // a factor for each contribution
	ruleVector            // weights from the distances of whole contributions
	ruleCoordinate        // each parameter by itself
)

var mergeRules = map[string]int{
	"mean": ruleScales, "norm-clip": ruleScales,
	"multi-krum": ruleVector, "geometric-median": ruleVector, "centered-clip": ruleVector,
	"trimmed-mean": ruleCoordinate, "median": ruleCoordinate,
}

// VectorRule says that the merge is a sum of contributions whose weights follow from their distances.
func (a *AggregateSpec) VectorRule() bool { return mergeRules[a.Rule] == ruleVector }

// CoordinateRule says that the merge is made parameter by parameter and has no weights of its own.
func (a *AggregateSpec) CoordinateRule() bool { return mergeRules[a.Rule] == ruleCoordinate }

func (s *RunSpec) validateRule(c *checker) {
	a := &s.Aggregate
	c.oneOf("aggregate.rule", a.Rule, "mean", "norm-clip", "multi-krum", "geometric-median", "centered-clip", "trimmed-mean", "median")
	// On a codec that sends each contributor's own largest values most parameters have one contributor, and order
	// statistics over the zeros of the others give zero.
	same := s.Codec.Up == "dense" || s.Codec.Up == "int8" || s.Codec.Up == "masked"
	c.rule(!a.CoordinateRule() || same, "aggregate.rule = %s needs the same values of every contributor, so codec.up = dense, int8 or masked", a.Rule)
	switch {
	case a.Rule == "norm-clip" || a.VectorRule() && a.NormCap != 0:
		c.between("aggregate.norm_cap", a.NormCap, 1, 1e6)
	case !a.VectorRule():
		c.rule(a.NormCap == 0, "aggregate.norm_cap = %v, want 0 with rule %s", a.NormCap, a.Rule)
	}
	if a.Rule == "centered-clip" {
		c.between("aggregate.radius", a.Radius, 0.01, 100)
	} else {
		c.rule(a.Radius == 0, "aggregate.radius = %v, want 0 with rule %s", a.Radius, a.Rule)
	}
	c.rule(!a.Mixing || a.VectorRule() && a.Faults > 0, "aggregate.mixing is for multi-krum, geometric-median and centered-clip with faults of at least 1")
	a.validateFaults(c)
}

// validateFaults holds the fewest contributors of a round against how many of them may lie. A rule that would be the mean
// without any is refused, so that nobody takes it for a protection. The vector rules outvote up to faults, and as many as
// a round's contributors allow where that is fewer.
func (a *AggregateSpec) validateFaults(c *checker) {
	f, n := uint64(a.Faults), uint64(a.MinPeers)
	switch {
	case a.Rule == "multi-krum" || a.Rule == "trimmed-mean":
		c.rule(f > 0, "aggregate.faults = 0, want at least 1 with rule %s", a.Rule)
	case !a.VectorRule():
		c.rule(f == 0, "aggregate.faults = %d, want 0 with rule %s", f, a.Rule)
	}
	if a.VectorRule() {
		c.rule(f <= MaxRoster, "aggregate.faults = %d, want at most %d, which any roster's liars are fewer than", f, MaxRoster)
	} else {
		c.rule(f == 0 || n >= 2*f+1, "aggregate.faults = %d of min_peers = %d: %s needs at least 2*faults+1 contributors", f, n, a.Rule)
	}
}

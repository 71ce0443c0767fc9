package council

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drystone/protocol"
)

// The rules and codecs that are merged. Sparse codecs send each contributor's own largest values, on which the rules that
// go coordinate by coordinate are refused.
var (
	everyValue = []protocol.CodecSpec{
		{Up: "dense", ShardParams: 4096},
		{Up: "int8", Decay: 0.9, ShardParams: 4096},
	}
	largestValues = []protocol.CodecSpec{
		{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 4096},
		{Up: "rice", TopK: 64, ValueBits: 4, Decay: 0.9, ShardParams: 4096},
	}
	byWhole = []protocol.AggregateSpec{
		{Rule: "mean"},
		{Rule: "norm-clip", NormCap: 3},
		{Rule: "multi-krum", Faults: 1},
		{Rule: "geometric-median", Faults: 1, NormCap: 3},
		{Rule: "centered-clip", Faults: 1, NormCap: 3, Radius: 1, Mixing: true},
	}
	byCoordinate = []protocol.AggregateSpec{{Rule: "trimmed-mean", Faults: 1}, {Rule: "median"}}
)

// merging is one rule with one codec that it takes.
type merging struct {
	rule  protocol.AggregateSpec
	codec protocol.CodecSpec
}

func mergings() (all []merging) {
	for _, c := range slices.Concat(everyValue, largestValues) {
		for _, r := range byWhole {
			all = append(all, merging{r, c})
		}
	}
	for _, c := range everyValue {
		for _, r := range byCoordinate {
			all = append(all, merging{r, c})
		}
	}
	return all
}

func (m merging) setup(seed uint64, links Links) Setup {
	return Setup{Seed: seed, Trainers: 5, Links: links, Spec: func(s *protocol.RunSpec) {
		s.Codec, s.Aggregate = m.codec, m.rule
		s.Aggregate.MinPeers, s.Aggregate.StartPeers = 5, 5
	}}
}

// Any permutation, duplication or delay of deliveries inside the deadlines gives the same merge bit for bit, the same
// statements and the same final roots: statements name the roots of model and outer state, so equal chains are equal bits.
func TestDeliveriesChangeNoBit(t *testing.T) {
	all, want := mergings(), map[string][]protocol.Digest{}
	check := func(t *rapid.T) {
		m := rapid.SampledFrom(all).Draw(t, "merging")
		name := fmt.Sprint(m.rule.Rule, "/", m.codec.Up)
		if want[name] == nil {
			calmRun := New(m.setup(1, calm))
			if !calmRun.Run(limit) {
				t.Fatal(calmRun.where())
			}
			want[name] = statements(calmRun.Aggs[0].Chain)
		}
		least := rapid.IntRange(0, 50).Draw(t, "least")
		s := New(m.setup(rapid.Uint64().Draw(t, "seed"), Links{
			Least: time.Duration(least) * time.Millisecond,
			Most:  time.Duration(least+rapid.IntRange(1, 2000).Draw(t, "spread")) * time.Millisecond,
			Loss:  rapid.Float64Range(0, 0.3).Draw(t, "loss"),
			Twice: rapid.Float64Range(0, 0.5).Draw(t, "twice"),
		}))
		finished := s.Run(limit)
		if wrong := live(func(s *Sim) string { return s.sameAs(want[name]) })(s, finished); wrong != "" {
			t.Fatal(wrong)
		}
	}
	if !*long {
		few(t)
	}
	rapid.Check(t, check)
}

// few lowers rapid's number of checks for a test whose every check is a whole run.
func few(t *testing.T) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	if before != checks.DefValue {
		return // asked for
	}
	if err := flag.Set("rapid.checks", "10"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = flag.Set("rapid.checks", before) })
}

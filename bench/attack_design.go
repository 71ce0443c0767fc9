package main

import (
	"slices"

	"drystone/internal/simtest/arena"
	"drystone/internal/simtest/attack"
	"drystone/protocol"
)

// attackDesign says which games are played.
type attackDesign struct {
	spec         func(seed uint64) protocol.RunSpec
	text         []byte
	source       string // of the text, in words
	contributors int
	seeds        int
	rules        []tableRule // the first is the mean: without liars it is what all are held against
	attacks      []attack.Attack
	wide         []int // liars against every rule
	deep         []int // liars against the rules that are deep, besides

	params int // of the model, once a game was played
}

// tableRule is a rule with its settings.
type tableRule struct {
	name string
	spec protocol.AggregateSpec
	deep bool
}

// defaultRule is the rule that a run among strangers should choose.
const defaultRule = "centered-clip, mixing"

// publishedDesign is the design of docs/robustness.md: 20 contributors, every attack on every rule with 30 % liars, and on
// the mean and the default rule with 10, 20 and 40 % as well. No rule knows how many liars there are: each that asks is
// told 8, the most that multi-krum takes among 20.
func publishedDesign(text []byte, source string, seeds int) *attackDesign {
	const faults = 8
	return &attackDesign{
		spec: arena.Spec, text: text, source: source, contributors: 20, seeds: seeds,
		rules: []tableRule{
			{"mean", protocol.AggregateSpec{Rule: "mean"}, true},
			{"norm-clip", protocol.AggregateSpec{Rule: "norm-clip", NormCap: 3}, false},
			{"multi-krum", protocol.AggregateSpec{Rule: "multi-krum", Faults: faults}, false},
			{"geometric-median", protocol.AggregateSpec{Rule: "geometric-median", Faults: faults, NormCap: 3}, false},
			{"trimmed-mean", protocol.AggregateSpec{Rule: "trimmed-mean", Faults: faults}, false},
			{"median", protocol.AggregateSpec{Rule: "median"}, false},
			{"centered-clip", protocol.AggregateSpec{Rule: "centered-clip", Faults: faults, NormCap: 3, Radius: 1}, false},
			{defaultRule, protocol.AggregateSpec{Rule: "centered-clip", Faults: faults, NormCap: 3, Radius: 1, Mixing: true}, true},
		},
		attacks: attack.All, wide: []int{6}, deep: []int{2, 4, 8},
	}
}

// games lists the games of a rule, the one without liars first.
func (d *attackDesign) games(r tableRule) []game {
	out := []game{{rule: r.name}}
	for _, a := range d.attacks {
		for _, n := range d.liars(r) {
			out = append(out, game{r.name, a.Name, n})
		}
	}
	return out
}

// liars lists how many liars a rule faces, ascending.
func (d *attackDesign) liars(r tableRule) []int {
	n := slices.Clone(d.wide)
	if r.deep {
		n = append(n, d.deep...)
	}
	slices.Sort(n)
	return n
}

// count is how many games there are.
func (d *attackDesign) count() (n int) {
	for _, r := range d.rules {
		n += d.seeds * len(d.games(r))
	}
	return n
}

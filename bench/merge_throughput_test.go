package main

import (
	"math"
	"slices"
	"testing"

	"drystone/aggregate"
)

// Both sides merge the same, whole input: nobody is left out, and the robust rule weighs otherwise than the mean.
func TestMergeInput(t *testing.T) {
	m, err := newMergeInput(mergeCase{codec: mergeCases[0].codec, params: 10000}, 5)
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []side{m.seconds(meanRule, 1), m.perSecond(clipRule, 2)} {
		if x, err := side(); err != nil || x <= 0 {
			t.Errorf("measured %v, %v", x, err)
		}
	}
	spec := m.spec
	spec.Aggregate = clipRule
	theta, _, record, err := aggregate.Merge(&spec, m.theta, nil, m.in)
	if err != nil || slices.Equal(theta, m.theta) {
		t.Errorf("nothing moved: %v", err)
	}
	for _, r := range record {
		if w := math.Float32frombits(r.Weight); !(w >= 0 && w < 1) || !(math.Float64frombits(r.Norm) > 0) {
			t.Errorf("record %+v", r)
		}
	}
}

// The merge of a shard allocates less than another dense shard beside its own update, whatever the number of peers.
func TestMergeMemory(t *testing.T) {
	m, err := newMergeInput(mergeCase{codec: mergeCases[0].codec, params: 1 << 21}, 20)
	if err != nil {
		t.Fatal(err)
	}
	for _, peers := range []int{5, 20} {
		if used, bound, err := m.memory(peers); err != nil || !(used > 4<<21 && used <= 2*bound) {
			t.Errorf("%d peers: %v bytes, %v with a dense shard; %v", peers, used, bound, err)
		}
	}
}

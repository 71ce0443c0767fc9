package main

import (
	"math"
	"slices"
	"testing"

	"drystone/aggregate"
)

// Both sides merge the same, whole input: nobody is left out, and the robust rule weighs otherwise than the mean.
func TestMergeInput(t *testing.T) {
	m, err := newMergeInput(64, 5, 10000)
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range []side{m.seconds(meanRule), m.perSecond(clipRule)} {
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

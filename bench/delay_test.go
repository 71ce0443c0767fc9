package main

import (
	"testing"

	"drystone/node"
)

// The runs of a small model end in losses that tell a delay from none, and in the same ones when they are played again.
func TestDelayLoss(t *testing.T) {
	e := testEnv(t)
	spec := node.TinySpec(1, 4, 4)
	spec.Model, spec.Train.Steps, spec.Train.Segment = quarters.Shape, 4, 2
	first, err := e.delayLoss(t.Context(), spec, 4)
	if err != nil || len(first) != 3 {
		t.Fatalf("%+v, %v", first, err)
	}
	for i, r := range first {
		if r.Other == nil || r.Value <= 0 || r.Value == r.Other.Value {
			t.Errorf("%s: %+v against %+v", r.Case, r.Stats, r.Other)
		}
		for _, other := range first[:i] {
			if r.Value == other.Value {
				t.Errorf("%s and %s have one loss", r.Case, other.Case)
			}
		}
	}
	again, err := e.delayLoss(t.Context(), spec, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range first {
		if again[i].Value != first[i].Value {
			t.Errorf("%s: %v, played again %v", first[i].Case, first[i].Value, again[i].Value)
		}
	}
}

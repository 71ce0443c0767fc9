package main

import (
	"testing"

	"drystone/internal/exact"
	"drystone/internal/speed"
)

// Both sides compute the same functions of the same inputs, so that their errors against float64 are those of rounding.
func TestKernelAccuracy(t *testing.T) {
	small := func(eng *exact.Engine, src *source) []*probe {
		ps := otherProbes(eng, src, 128, 64, 1000)
		for _, x := range []speed.Product{{Name: "nn", M: 20, N: 30, K: 700}, {Name: "tn", TransA: true, M: 40, N: 30, K: 700}, {Name: "nt", TransB: true, M: 20, N: 30, K: 40}} {
			ps = append(ps, gemmProbe(eng, src, x))
		}
		return ps
	}
	rows, err := testEnv(t).accuracies(t.Context(), small, 2)
	skipWithout(t, err)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) < 50 {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		if !(r.Value > 0 && r.Value < 500 && r.Other.Value > 0 && r.Other.Value < 500) || r.Runs != 2 {
			t.Errorf("%s: %v and %v", r.Case, r.Value, r.Other.Value)
		}
	}
}

package main

import (
	"slices"
	"strings"
	"testing"
)

// From the same weights on the same batches both train the same function: the curves meet up to rounding, and fall.
func TestLossCurves(t *testing.T) {
	e := testEnv(t)
	rows, err := e.lossCurves(t.Context(), tiny, 12, 1)
	skipWithout(t, err)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if !(r.Value > 0 && r.Value < 1e-5 && r.Other.Value > 0 && r.Other.Value < 1e-5) {
			t.Errorf("%s: %v and %v", r.Case, r.Value, r.Other.Value)
		}
	}
	page := string(e.pages["loss-curves.md"])
	for _, step := range []string{"| 1 |", "| 10 |", "| 12 |"} {
		if !strings.Contains(page, step) {
			t.Errorf("the page lacks %q:\n%s", step, page)
		}
	}
}

func TestNextStep(t *testing.T) {
	for n, want := range map[int][]int{1: {0}, 10: {0, 9}, 11: {0, 9, 10}, 25: {0, 9, 19, 24}} {
		var got []int
		for i := 0; i < n; i = nextStep(i, n) {
			got = append(got, i)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d steps: %v, want %v", n, got, want)
		}
	}
}

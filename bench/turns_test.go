package main

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestTakeTurns(t *testing.T) {
	var order []string
	side := func(name string, x float64) side {
		return func() (float64, error) { order = append(order, name); return x, nil }
	}
	calm := func() load { return load{} }
	e := &Env{Talk: io.Discard, load: calm}
	got, err := e.takeTurns(t.Context(), 1, 2, side("a", 1), side("b", 2))
	if err != nil || *got.stats(0) != *exactly(1, 2) || *got.stats(1) != *exactly(2, 2) || got.busy != 0 || strings.Join(order, "") != "ababab" {
		t.Errorf("%+v, %v, %v", got, err, order)
	}
	if _, err := e.takeTurns(t.Context(), 0, 1, func() (float64, error) { return 0, os.ErrInvalid }); !errors.Is(err, os.ErrInvalid) {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.takeTurns(ended, 0, 1, side("a", 1)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Disturbed rounds are measured again as long as the patience lasts, and the calmest rounds count.
func TestPatience(t *testing.T) {
	for _, tt := range []struct {
		patience int
		foreign  []uint64 // ticks of 100 that others use, round by round
		values   []float64
		busy     float64
	}{
		{0, []uint64{0, 50}, []float64{0, 1}, 0.5},
		{1, []uint64{0, 50, 0}, []float64{0, 2}, 0},
		{5, []uint64{0, 3, 0}, []float64{0, 1}, 0}, // 3 % are noise
		{2, []uint64{90, 20, 30, 40}, []float64{1, 2}, 0.3},
	} {
		var now load
		n, rounds, reading := -1, tt.foreign, 0
		e := &Env{Talk: io.Discard, Patience: tt.patience, load: func() load {
			if reading++; reading%2 == 0 { // after a round
				now.total, now.busy = now.total+100, now.busy+rounds[n]
			}
			return now
		}}
		got, err := e.takeTurns(t.Context(), 0, 2, func() (float64, error) { n++; return float64(n), nil })
		if err != nil || got.busy != tt.busy || !slices.Equal(slices.Sorted(slices.Values([]float64{got.rounds[0].samples[0], got.rounds[1].samples[0]})), tt.values) {
			t.Errorf("patience %d, %v: %+v, %v", tt.patience, tt.foreign, got, err)
		}
	}
}

// Of the demonstrations, too, the calmest count.
func TestDemoTimePatience(t *testing.T) {
	for patience, want := range map[int]Stats{0: {2, 1, 3, 3}, 2: {3, 1, 5, 3}} {
		e := &Env{Talk: io.Discard, Patience: patience, Machine: Machine{Path: "abacus"}}
		for i, busy := range []float64{0, 0.5, 0, 0.2, 0} {
			e.demo.done = append(e.demo.done, demoResult{WallSeconds: float64(i + 1), busy: busy})
		}
		e.demo.done = e.demo.done[:3+patience]
		rows, err := demoTime.Measure(t.Context(), e)
		if err != nil || *rows[0].Stats != want || rows[0].Busy != []float64{0.5, 0, 0}[patience] {
			t.Errorf("patience %d: %+v, %v", patience, rows, err)
		}
	}
}

func TestForeignLoad(t *testing.T) {
	const system = "cpu  100 10 20 1000 50 5 5 10 0 0\ncpu0 1\n"
	self, child := "7 (a) b) c) R 1 1 1 0 -1 0 0 0 0 0 30 5 3 2 20 0\n", "9 (python) R 8 1 1 0 -1 0 0 0 0 0 7 0 0 0 20 0\n"
	between, other := "8 (sh) S 7 1 1 0 -1 0 0 0 0 0 1 1 1 1 20 0\n", "5 (x) R 1 1 1 0 -1 0 0 0 0 0 500 0 0 0 20 0\n"
	a := parseLoad(system, []string{self}, 7)
	if a != (load{total: 1200, busy: 150, own: 40}) {
		t.Fatalf("%+v", a)
	}
	if l := parseLoad(system, []string{child, other, "x", self, between}, 7); l.own != 40+4+7 {
		t.Errorf("with descendants: %+v", l)
	}
	for _, bad := range [][2]string{{"", self}, {system, ""}, {"cpu 1 2 3 x 5 6 7 8\n", self}, {system, "7 (a) R 1"}, {"intr 1 2 3 4 5 6 7 8", self}} {
		if l := parseLoad(bad[0], []string{bad[1]}, 7); l != (load{}) {
			t.Errorf("%q: %+v", bad, l)
		}
	}
	for _, tt := range []struct {
		b    load
		want float64
	}{
		{load{1300, 250, 140}, 0},  // all of it our own
		{load{1300, 200, 40}, 0.5}, // all of it others'
		{load{1300, 193, 80}, 0},   // 3 % are noise
		{load{1300, 150, 90}, 0},   // more own than busy: the clocks differ
		{load{1210, 160, 40}, 0},   // too short to say
		{load{}, 0},                // unknown
	} {
		if got := foreign(a, tt.b); tt.b != (load{}) && got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.b, got, tt.want)
		}
	}
	if foreign(load{}, load{}) != 0 {
		t.Error("load where none is known")
	}
	if l := readLoad(); l.total > 0 && l.own > l.busy {
		t.Errorf("this machine: %+v", l)
	}
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMeasure(t *testing.T) {
	broken := errors.New("broken")
	e := &Env{Machine: Machine{CPU: "abacus"}}
	for name, tt := range map[string]struct {
		target Target
		row    Row
		err    error
		met    string
		fails  bool
	}{
		"none":          {row: Row{Stats: exactly(3, 1)}, met: "none"},
		"below":         {target: Target{"value", "<", 3}, row: Row{Stats: exactly(2.9, 1)}, met: "yes"},
		"not below":     {target: Target{"value", "<", 3}, row: Row{Stats: exactly(3, 1)}, met: "no"},
		"at most":       {target: Target{"value", "<=", 3}, row: Row{Stats: exactly(3, 1)}, met: "yes"},
		"not at most":   {target: Target{"value", "<=", 3}, row: Row{Stats: exactly(3.1, 1)}, met: "no"},
		"at least":      {target: Target{"value", ">=", 3}, row: Row{Stats: exactly(3, 1)}, met: "yes"},
		"ratio":         {target: Target{"ratio", "<", 1}, row: Row{Stats: exactly(3, 1), Other: &Other{"x", *exactly(4, 1)}}, met: "yes"},
		"ratio missed":  {target: Target{"ratio", "<", 1}, row: Row{Stats: exactly(3, 1), Other: &Other{"x", *exactly(2, 1)}}, met: "no"},
		"skipped":       {target: Target{"value", "<", 3}, err: fmt.Errorf("peer: %w", skipped("no abacus")), met: "none"},
		"failed":        {err: broken, fails: true},
		"failed by end": {err: context.Canceled, fails: true},
	} {
		f := Figure{Name: "f", Unit: "beads", Limit: time.Minute, Target: tt.target, Measure: func(context.Context, *Env) ([]Row, error) {
			if tt.err != nil {
				return nil, tt.err
			}
			return []Row{tt.row}, nil
		}}
		rows, err := f.measure(context.Background(), e)
		if tt.fails {
			if !errors.Is(err, tt.err) || len(rows) != 1 || !strings.HasPrefix(rows[0].Skipped, "failed: ") {
				t.Errorf("%s: %v, %v", name, rows, err)
			}
			continue
		}
		if err != nil || len(rows) != 1 || rows[0].Met != tt.met || rows[0].Machine != e.Machine || (rows[0].Skipped == "") != (tt.err == nil) {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
	}
	f := Figure{Name: "f", Limit: time.Minute, Measure: func(context.Context, *Env) ([]Row, error) { return nil, nil }}
	if _, err := f.measure(context.Background(), e); err == nil {
		t.Error("a figure without rows passes")
	}
}

// A figure that does not end within its limit keeps what it has; one that is interrupted from outside is an error.
func TestMeasureEnds(t *testing.T) {
	e := &Env{}
	f := Figure{Name: "f", Limit: time.Nanosecond, Measure: func(ctx context.Context, _ *Env) ([]Row, error) {
		<-ctx.Done()
		return []Row{{Case: "done", Stats: exactly(1, 1)}}, ctx.Err()
	}}
	rows, err := f.measure(context.Background(), e)
	if err != nil || len(rows) != 2 || rows[0].Value != 1 || !strings.Contains(rows[1].Skipped, "limit") {
		t.Errorf("%+v, %v", rows, err)
	}
	interrupted, cancel := context.WithCancel(context.Background())
	cancel()
	if rows, err := f.measure(interrupted, e); !errors.Is(err, context.Canceled) || rows != nil {
		t.Errorf("%+v, %v", rows, err)
	}
}

// One failing figure hides no other.
func TestGoesOnAfterAFailure(t *testing.T) {
	fine := Figure{Name: "fine", Limit: time.Minute, Measure: func(context.Context, *Env) ([]Row, error) {
		return []Row{{Stats: exactly(1, 1)}}, nil
	}}
	bad := fine
	bad.Name, bad.Measure = "bad", func(context.Context, *Env) ([]Row, error) { return nil, errors.New("broken\nin two") }
	var out, talk bytes.Buffer
	rows, err := measureAll(context.Background(), &terminal{&out, &talk}, &Env{Talk: &talk}, []Figure{bad, fine}, true)
	if err == nil || len(rows) != 2 || rows[0].Skipped != "failed: broken" || rows[1].Stats == nil || !strings.Contains(talk.String(), "skipped: bad") {
		t.Errorf("%+v, %v, %s", rows, err, &talk)
	}
}

func TestRatio(t *testing.T) {
	for _, tt := range [][3]float64{{6, 3, 2}, {0, 3, 0}, {0, 0, 1}, {1, 0, math.MaxFloat64}} {
		if got := ratio(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%v: %v", tt, got)
		}
	}
}

func TestPage(t *testing.T) {
	rows := []Row{
		{Name: "a", Case: "x|y", Stats: &Stats{2, 1, 3, 5}, Unit: "s", Other: &Other{"them", *exactly(8, 5)}, Ratio: 0.25, Target: "< 3", Met: "yes", Note: "careful"},
		{Name: "b", Skipped: "no abacus", Target: "none", Met: "none"},
		{Name: "c", Stats: exactly(7777, 1), Target: "< 3", Met: "no", Busy: 0.5},
	}
	figures := []Figure{{Name: "a", What: "beads", Unit: "s"}, {Name: "b", What: "more"}, {Name: "c", What: "yet more"}, {Name: "d", What: "none"}}
	for i := range rows {
		rows[i].Machine.CPU = "abacus"
	}
	rows[1].Machine.CPU = "slide rule"
	got := string(page(figures, Machine{CPU: "abacus"}, rows))
	if !slices.Equal(headings(got), []string{"a", "b", "c", "d"}) {
		t.Errorf("headings %q", headings(got))
	}
	for _, want := range []string{
		"| x/y | 2 (1 to 3 in 5 runs) | them: 8 (the same in 5 runs) | 0.25 | yes |", "- x|y: careful",
		"- all: not measured here: no abacus", "- all: not measured here: other programs used 50 %", "Measured on: slide rule", "Not measured yet.",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "7777") {
		t.Errorf("publishes a value from a busy machine:\n%s", got)
	}
	for _, some := range [][]Row{{}, rows} {
		text, err := lines(some)
		var back []Row
		if err := errors.Join(err, json.Unmarshal(text, &back)); err != nil || !reflect.DeepEqual(back, some) {
			t.Errorf("%s: %v", text, err)
		}
	}
	again := []Row{{Name: "c", Case: "new"}, {Name: "d", Case: "new"}, {Name: "gone"}}
	var merged []string
	for _, r := range merge(figures, rows, again) {
		merged = append(merged, r.Name+r.Case)
	}
	if want := []string{"ax|y", "b", "cnew", "dnew"}; !slices.Equal(merged, want) {
		t.Errorf("merged to %q, want %q", merged, want)
	}
	for i := range rows {
		if line := text(&rows[i]); !strings.Contains(line, rows[i].Name) || strings.Contains(line, "\n") {
			t.Errorf("%q", line)
		}
	}
}

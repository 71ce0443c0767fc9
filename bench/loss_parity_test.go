package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"drystone/protocol"
)

// tinyTrial is a comparison that takes a second.
func tinyTrial(t *testing.T) *lossTrial {
	t.Helper()
	var files []string
	for i := range heldOut {
		name := filepath.Join(t.TempDir(), "x.go")
		if err := os.WriteFile(name, []byte(strings.Repeat(fmt.Sprintf("func f%d() int { return %d }\n", i, i*i), 20)), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
	}
	c, err := readCorpus(files, "a test")
	if err != nil {
		t.Fatal(err)
	}
	return &lossTrial{corpus: c, data: c.spec(), model: quarters, batch: 2, workers: 4, steps: 180, points: 3, scored: 4}
}

// The corpus holds out one file of every heldOut, at its end.
func TestCorpusHoldsOut(t *testing.T) {
	c := tinyTrial(t).corpus
	if tail := string(c.text[len(c.text)-int(c.held):]); !strings.HasPrefix(tail, "func f63()") || strings.Count(tail, "\n") != 20 {
		t.Errorf("held out: %d bytes, %.40q", c.held, tail)
	}
	if strings.Contains(string(c.text[:len(c.text)-int(c.held)]), "f63()") {
		t.Error("what is held out is trained on")
	}
}

// Every arm and every choice trains, learns something, and counts what it sends.
func TestLossParityArms(t *testing.T) {
	e, trial := testEnv(t), tinyTrial(t)
	e.State = t.TempDir()
	arms := append([]arm{aloneArm(), denseArm()}, compressedArms()...)
	for _, c := range choices() {
		arms = append(arms, c.arm)
	}
	seen := map[string]string{}
	for _, a := range arms {
		r, err := e.trainArm(t.Context(), trial, &a, 1)
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		if n := len(r.Curve); n != 3 || r.Curve[n-1].Tokens != trial.tokens() || r.Loss >= r.Curve[0].Loss || r.Loss >= 0.95*5.545 {
			t.Errorf("%s: %+v", a.Name, r)
		}
		if (r.Up == 0) != (a.Alone > 0) || strings.Contains(a.Name, "k 256 down") && r.Down < 40 || strings.HasPrefix(a.Name, "dense") && r.Up != 1 {
			t.Errorf("%s: %v times less up, %v down", a.Name, r.Up, r.Down)
		}
		if other := seen[r.State]; other != "" {
			t.Errorf("%s and %s end in one state", a.Name, other)
		}
		seen[r.State] = a.Name
	}
}

// An arm that is stopped goes on to the result that it has without a stop, and a result is not trained again.
func TestLossParityGoesOn(t *testing.T) {
	trial := tinyTrial(t)
	for _, a := range []arm{aloneArm(), compressedArms()[0], choices()[1].arm, choices()[7].arm} {
		whole, stopped := testEnv(t), testEnv(t)
		whole.State, stopped.State = t.TempDir(), t.TempDir()
		want, err := whole.trainArm(t.Context(), trial, &a, 2)
		if err != nil {
			t.Fatalf("%s: %v", a.Name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		stopped.Talk = writerFunc(func(line string) {
			if strings.HasPrefix(line, "    step ") {
				cancel() // after the first point
			}
		})
		if _, err := stopped.trainArm(ctx, trial, &a, 2); !errors.Is(err, context.Canceled) {
			t.Fatalf("%s: stopped with %v", a.Name, err)
		}
		stopped.Talk = t.Output()
		if left, _ := filepath.Glob(filepath.Join(stopped.State, "*.course")); len(left) != 1 {
			t.Fatalf("%s: kept %v", a.Name, left)
		}
		got, err := stopped.trainArm(t.Context(), trial, &a, 2)
		if err != nil || got.State != want.State || got.Loss != want.Loss || got.Up != want.Up || len(got.Curve) != len(want.Curve) {
			t.Errorf("%s: %+v, %v; without a stop %+v", a.Name, got, err, want)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if again, err := stopped.trainArm(ctx, trial, &a, 2); err != nil || again.State != want.State {
			t.Errorf("%s: trained again: %v", a.Name, err)
		}
	}
}

type writerFunc func(line string)

func (f writerFunc) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

// Rows say how the seeds lie, and the page and the chart name every arm.
func TestLossParityRows(t *testing.T) {
	e, trial := testEnv(t), tinyTrial(t)
	arms := []arm{denseArm(), compressedArms()[0]}
	of := func(a int, seed uint64, loss float64) *result {
		return &result{Arm: arms[a].Name, Seed: seed, Loss: loss, Curve: []point{{100, 2 * loss}, {200, loss}}, Up: 36, Down: 68}
	}
	results := [][]*result{{of(0, 1, 1.0), of(1, 1, 1.01)}, {of(0, 2, 2.0), of(1, 2, 2.04)}}
	rows := compare(trial, arms, results)
	if len(rows) != 1 || rows[0].Value != (1.01+2.04)/2 || rows[0].Other.Value != 1.5 || !strings.Contains(rows[0].Note, "[1.0100 1.0200], mean 1.0150 within 0.0635 at 95 %") {
		t.Errorf("%+v", rows)
	}
	e.parityPages(trial, arms, results)
	for _, name := range []string{"loss-parity.md", "loss-parity.svg", "loss-parity.csv"} {
		for _, a := range arms {
			if !strings.Contains(string(e.pages[name]), a.Name) {
				t.Errorf("%s lacks %q:\n%s", name, a.Name, e.pages[name])
			}
		}
	}
}

// Without a directory nothing trains for hours.
func TestLossParityNeedsState(t *testing.T) {
	for _, f := range []Figure{lossParity, lossOneWorker, lossChoices} {
		rows, err := f.measure(t.Context(), testEnv(t))
		if err != nil || len(rows) != 1 || !strings.Contains(rows[0].Skipped, "--state") {
			t.Errorf("%s: %+v, %v", f.Name, rows, err)
		}
	}
}

// Settings of all arms are those of a RunSpec that a run could have.
func TestLossParitySpecs(t *testing.T) {
	trial := tinyTrial(t)
	arms := append([]arm{aloneArm(), denseArm()}, compressedArms()...)
	for _, c := range choices() {
		arms = append(arms, c.arm)
	}
	for _, a := range arms {
		for phase := range max(1, len(a.Phases)) {
			spec := trial.spec(&a, 1)
			spec.Founder = protocol.DeriveKey(1, "bench/founder").ID()
			trial.choose(&a, phase)(&spec)
			if err := spec.Validate(); err != nil {
				t.Errorf("%s: %v", a.Name, err)
			}
		}
	}
}

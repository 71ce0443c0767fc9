package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"

	"drystone/internal/simtest/arena"
	"drystone/internal/simtest/attack"
	"drystone/protocol"
)

// quickDesign is the published one with a shorter training, fewer contributors, and a few attacks and rules.
func quickDesign(t *testing.T) *attackDesign {
	text := bytes.Repeat([]byte("every stone holds because it fits exactly, and anyone can push on it\n"), 100)
	d := publishedDesign(text, "a sentence", 1)
	d.spec = func(seed uint64) protocol.RunSpec {
		s := arena.Spec(seed)
		s.Train.Rounds, s.Train.Steps, s.Train.Segment, s.Train.Batch = 3, 2, 2, 2
		return s
	}
	d.contributors, d.wide, d.deep = 7, []int{2}, []int{1}
	d.rules = slices.DeleteFunc(d.rules, func(r tableRule) bool { return r.spec.Rule != "mean" && r.name != defaultRule })
	d.rules[1].spec.Faults = 2
	d.attacks = slices.DeleteFunc(slices.Clone(d.attacks), func(a attack.Attack) bool {
		return !slices.Contains([]string{"zero-work", "sign-flip-1000", "alie", "backdoor"}, a.Name)
	})
	if len(d.rules) != 2 || len(d.attacks) != 4 {
		t.Fatalf("%d rules, %d attacks", len(d.rules), len(d.attacks))
	}
	return d
}

// A small table has every game that its design lists, holds each against the clean one, shows the mean fail, and says all
// that on its page.
func TestAttackTable(t *testing.T) {
	d := quickDesign(t)
	e := &Env{Threads: 2, Talk: &bytes.Buffer{}, pages: map[string][]byte{}}
	out, err := e.playAttacks(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.ratio) != d.count() || d.count() != 2*(1+4*2) {
		t.Errorf("%d games of %d", len(out.ratio), d.count())
	}
	if clean := out.ratio[game{rule: "mean"}]; len(clean) != 1 || clean[0] != 1 {
		t.Errorf("the clean game is %v times itself", clean)
	}
	rows := d.rows(out)
	if len(rows) != 2 || rows[0].Value < 1.5 || rows[1].Value > 1.2 || rows[1].Case != defaultRule ||
		!strings.Contains(rows[0].Note, "sign-flip-1000 with 2 of 7") || !strings.Contains(rows[1].Note, "alie") {
		t.Errorf("rows %+v", rows)
	}
	page := string(d.page(Machine{CPU: "a processor"}, out))
	for _, want := range []string{"7 contributors", "6704 parameters", "a sentence", "| alie * |", "## The backdoor", "18 games in all", "a processor", "`rule = \"centered-clip\"`, `norm_cap = 3`, `faults = 2`"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if n := strings.Count(page, "\n| sign-flip-1000 |"); n != 3 { // every rule, and the two deep ones
		t.Errorf("%d rows of one attack", n)
	}
}

// The published design is what the page claims: 20 contributors, each attack on each rule with 30 %, settings that a run
// spec admits, and the rules that ask for a number of liars told the most that multi-krum takes.
func TestPublishedDesign(t *testing.T) {
	d := publishedDesign(nil, "", 3)
	if !slices.Equal(d.liars(d.rules[0]), []int{2, 4, 6, 8}) || d.contributors != 20 || d.count() != 3*(8+8*21+2*3*21) {
		t.Errorf("%v of %d, %d games", d.liars(d.rules[0]), d.contributors, d.count())
	}
	for _, r := range d.rules {
		s := d.spec(1)
		s.Data = protocol.DataSpec{Tokenizer: "bytes", Tokens: 1000, Holdout: 100}
		s.Aggregate = r.spec
		s.Aggregate.MinPeers = uint32(d.contributors)
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", r.name, err)
		}
	}
}

// An interrupted table fails, it does not come out short.
func TestAttackTableInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := &Env{Threads: 1, Talk: &bytes.Buffer{}, pages: map[string][]byte{}}
	if _, err := e.playAttacks(ctx, quickDesign(t)); err == nil {
		t.Error("no error")
	}
}

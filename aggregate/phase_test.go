package aggregate_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
)

// table is the code's side of the diagram.
func table() map[string]bool {
	edges := map[string]bool{}
	for from := aggregate.PhaseNew; from <= aggregate.PhaseFinished; from++ {
		for _, to := range aggregate.Transitions(from) {
			edges[fmt.Sprintf("%s --> %s", from, to)] = true
		}
	}
	return edges
}

// docs/protocol.md draws every transition that the code can make, and no other.
func TestDiagram(t *testing.T) {
	doc, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```mermaid\nstateDiagram-v2\n(.*?)```").FindSubmatch(doc)
	if block == nil {
		t.Fatal("docs/protocol.md has no state diagram")
	}
	drawn := map[string]bool{}
	for _, e := range regexp.MustCompile(`(?m)^ *(\w+ --> \w+)`).FindAllSubmatch(block[1], -1) {
		drawn[string(e[1])] = true
	}
	for _, e := range slices.Sorted(maps.Keys(table())) {
		if !drawn[e] {
			t.Errorf("the code can go %s, which the diagram lacks", e)
		}
	}
	for _, e := range slices.Sorted(maps.Keys(drawn)) {
		if !table()[e] {
			t.Errorf("the diagram has %s, which the code cannot go", e)
		}
	}
}

// A transition that the table lacks is impossible, whatever the code asks for.
func TestOnlyTransitionsOfTheTable(t *testing.T) {
	m, err := aggregate.New(aggtest.New(nil).Config())
	if err != nil {
		t.Fatal(err)
	}
	for from := aggregate.PhaseNew; from <= aggregate.PhaseFinished; from++ {
		for to := aggregate.PhaseNew; to <= aggregate.PhaseFinished+1; to++ {
			want := from
			if slices.Contains(aggregate.Transitions(from), to) {
				want = to
			}
			if got := m.Enter(from, to); got != want {
				t.Errorf("%s to %s: went to %s", from, to, got)
			}
		}
	}
}

// The scenarios together take every transition of the table: none of them is dead.
func TestScenariosTakeEveryTransition(t *testing.T) {
	taken := map[string]bool{}
	for _, s := range scenarios {
		p := newPlay(t, s.change)
		s.play(p)
		m, err := aggregate.New(p.w.Config())
		if err != nil {
			t.Fatal(err)
		}
		for at, records := m.Phase(), p.records; len(records) > 0; records = records[1:] {
			fx, _ := m.Apply(records[0]) // some are refused, in the scenario too
			for _, to := range fx.Entered {
				taken[fmt.Sprintf("%s --> %s", at, to)] = true
				at = to
			}
			if at != m.Phase() {
				t.Fatalf("%s: the effects lead to %s, the machine is in %s", s.name, at, m.Phase())
			}
		}
	}
	if !maps.Equal(taken, table()) {
		t.Errorf("taken: %v\ntable: %v", slices.Sorted(maps.Keys(taken)), slices.Sorted(maps.Keys(table())))
	}
}

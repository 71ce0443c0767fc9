package main

import (
	"encoding/json"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/node"
)

// The founder pauses a run, goes on with it and ends it before its last round, with the commands and over the network
// (docs/protocol.md, Between rounds). Nobody else can, the trainer ends cleanly, and the model can be exported.
func TestFoundersOrders(t *testing.T) {
	if testing.Short() {
		t.Skip("starts five processes")
	}
	n := newNetwork(t, 41, 10000, 1)
	n.begin()
	tr := n.join("trainer")
	n.until(n.link, "round 1", func(s node.Status) bool { return s.View.Round >= 1 })
	ask := func(args ...string) string {
		t.Helper()
		code, out, errOut := command(t, args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, %s", args, code, errOut)
		}
		return out
	}
	founder := []string{"--key", n.file("aggregator-0.json")}
	elsewhere := n.linkOf(2) // any aggregator takes an order
	oneError(t, 1, []string{"only the founder"}, "pause", elsewhere, "--key", n.file("trainer.json"))
	oneError(t, 1, []string{"not paused"}, append([]string{"resume", elsewhere}, founder...)...)
	ask(append([]string{"pause", elsewhere}, founder...)...)
	paused := n.until(n.link, "paused", func(s node.Status) bool { return s.View.Phase == aggregate.PhasePaused })
	if out := ask("status", n.link); !strings.Contains(out, "paused by the founder") || !strings.Contains(out, "median") {
		t.Errorf("status of a paused run:\n%s", out)
	}
	ask(append([]string{"resume", elsewhere}, founder...)...)
	s := n.until(n.link, "two rounds after the pause", func(s node.Status) bool { return s.View.Round >= paused.View.Round+2 })
	if len(s.Timings) == 0 || s.Timings[len(s.Timings)-1].Seconds["train"] <= 0 || len(s.Up) != 4 {
		t.Errorf("timings %+v, up %v", s.Timings, s.Up)
	}
	oneError(t, 1, []string{"hosts the ledger"}, append([]string{"aggregators", "remove", elsewhere, n.key("aggregator-0").ID().String()}, founder...)...)
	oneError(t, 2, []string{"--yes"}, append([]string{"stop", elsewhere}, founder...)...)
	ask(append([]string{"stop", elsewhere, "--yes"}, founder...)...)
	r := n.result(tr)
	end := n.until(n.link, "the end", func(s node.Status) bool { return s.View.Phase == aggregate.PhaseFinished })
	if !end.View.Ended || r.Rounds < 2 || uint32(r.Rounds) > end.View.Round {
		t.Errorf("ended %v after round %d, the trainer took part in %d", end.View.Ended, end.View.Round, r.Rounds)
	}
	if out := ask("status", n.link); !strings.Contains(out, "ended by the founder") {
		t.Errorf("status of an ended run:\n%s", out)
	}
	ask("export", n.link, "-o", n.file("model"))
	oneError(t, 1, []string{"the run ends"}, append([]string{"pause", elsewhere}, founder...)...)
	var list struct {
		Threshold   int
		Aggregators []string
	}
	if err := json.Unmarshal([]byte(ask("aggregators", "list", n.link, "--json")), &list); err != nil || list.Threshold != 3 || len(list.Aggregators) != 4 {
		t.Errorf("aggregators list: %v, %+v", err, list)
	}
}

// A newcomer to a live run prints its application, the founder takes it in, and the run goes on with five.
func TestAddAggregator(t *testing.T) {
	if !*long {
		t.Skip("takes half a minute; run with -long")
	}
	n := newNetwork(t, 42, 10000, 1)
	n.begin()
	n.join("trainer")
	n.until(n.link, "round 1", func(s node.Status) bool { return s.View.Round >= 1 })
	fifth := n.key("aggregator-4").ID()
	p := start(t, "aggregator-4", n.dir, "aggregate", n.link, "--dir", n.file("aggregator-4"), "--key", n.file("aggregator-4.json"), "--threads", "1")
	line := p.await(&p.out, node.ApplicationPrefix)
	if code, _, errOut := command(t, "aggregators", "add", n.link, line, "--key", n.file("aggregator-0.json")); code != 0 {
		t.Fatalf("add: exit code %d, %s", code, errOut)
	}
	s := n.until(n.link, "five aggregators", func(s node.Status) bool { return len(s.View.Aggregators) == 5 })
	n.until(n.link, "the fifth at work", func(now node.Status) bool {
		for _, a := range now.View.Aggregators {
			if a.ID == fifth && a.Checks > 0 {
				return now.View.Round > s.View.Round
			}
		}
		return false
	})
}

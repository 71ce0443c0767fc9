package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/node"
)

// The founder's orders on a run of processes: it is paused and goes on, an aggregator that read along takes the place of
// another, and the run is stopped early; what was trained is settled, and the model is there (docs/protocol.md, "The
// founder's orders").
func TestFounderOrders(t *testing.T) {
	n := newNetwork(t, 41, 100_000, 1)
	n.begin()
	trainer := n.join("trainer-0")
	n.until(n.link, "a certified round", func(s node.Status) bool { return s.View.Round >= 1 })

	// One contributor: no merge rule protects a round, and everybody hears it.
	few := "round 0 has 1 contributor: with fewer than 5 no merge rule protects statistically; every contribution is checked"
	trainer.await(&trainer.err, few)
	for _, a := range n.aggs {
		a.await(&a.err, few)
	}

	key := n.file("aggregator-0.json")
	order := func(code int, args ...string) string {
		t.Helper()
		if args[0] != "status" {
			args = append(args, "--key", key)
		}
		got, out, errOut := command(t, args...)
		if got != code {
			t.Fatalf("%s: exit code %d, want %d: %s%s", strings.Join(args, " "), got, code, out, errOut)
		}
		return out + errOut
	}
	order(1, "resume", n.link) // not paused
	order(0, "pause", n.link)
	paused := n.until(n.link, "paused", func(s node.Status) bool { return s.View.Phase == aggregate.PhasePaused })
	order(1, "pause", n.link)
	if out := order(0, "status", n.link); !strings.Contains(out, "paused by the founder") || !strings.Contains(out, "median") || !strings.Contains(out, "no merge rule protects") {
		t.Errorf("status of a paused run:\n%s", out)
	}
	trainer.await(&trainer.err, "paused by the founder")
	order(1, "aggregators", "remove", n.link, n.key("aggregator-0").ID().String()) // it hosts the ledger

	n.key("newcomer")
	newcomer := n.start("newcomer", "aggregate", n.link, "--dir", n.file("newcomer"), "--key", n.file("newcomer.json"), "--threads", "1")
	application := newcomer.await(&newcomer.out, "drystone-aggregator:")
	gone := n.key("aggregator-3").ID().String()
	order(2, "aggregators", "replace", n.link, gone, "drystone-aggregator:AAAA")
	if err := os.WriteFile(n.file("application"), []byte(application+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	order(0, "aggregators", "replace", n.link, gone, n.file("application"))
	n.aggs[3].wait(0)
	n.aggs[3].await(&n.aggs[3].err, "the council has removed this aggregator")
	newcomer.await(&newcomer.err, "the council has taken this aggregator in")
	if s := n.until(n.link, "still paused", func(s node.Status) bool { return s.View.Change == nil && s.View.Phase == aggregate.PhasePaused }); s.View.Round != paused.View.Round {
		t.Errorf("round %d opened while the run was paused", s.View.Round)
	}

	code, out, errOut := command(t, "aggregators", "list", n.link, "--json")
	var listed struct {
		Threshold   int `json:"threshold"`
		Aggregators []struct {
			ID string `json:"peer_id"`
		} `json:"aggregators"`
	}
	if err := json.Unmarshal([]byte(out), &listed); code != 0 || err != nil {
		t.Fatal(code, err, errOut)
	}
	if listed.Threshold != 3 || len(listed.Aggregators) != 4 || strings.Contains(out, gone) || !strings.Contains(out, n.key("newcomer").ID().String()) {
		t.Errorf("the list after the change: %s", out)
	}

	order(0, "resume", n.link)
	// The newcomer answers for a round now: one of three that must sign once another aggregator is gone.
	n.aggs[1].kill()
	s := n.until(n.link, "rounds with the new council", func(s node.Status) bool { return s.View.Round >= paused.View.Round+3 })
	if len(s.Timings) == 0 || s.Timings[len(s.Timings)-1].Seconds["train"] <= 0 {
		t.Errorf("timings %+v", s.Timings)
	}

	order(2, "stop", n.link) // nobody there to confirm it
	order(0, "stop", n.link, "--yes")
	n.until(n.link, "finished", func(s node.Status) bool { return s.View.Phase == aggregate.PhaseFinished && s.View.Ended })
	trainer.wait(0)
	n.until(n.link, "the refund", func(s node.Status) bool { return s.Returned })
	n.aggs[0].await(&n.aggs[0].err, "is back at the sponsor's account")
	if out := order(0, "status", n.link); !strings.Contains(out, "ended by the founder") || !strings.Contains(out, "the rest is back at the founder's account") {
		t.Errorf("status of an ended run:\n%s", out)
	}
	if code, _, errOut := command(t, "export", n.link, "-o", n.file("model")); code != 0 {
		t.Errorf("export: %s", errOut)
	}
	// Orders by anybody else, and after the end.
	key = n.file("newcomer.json")
	order(2, "pause", n.link)
	key = n.file("aggregator-0.json")
	order(1, "pause", n.link)
}

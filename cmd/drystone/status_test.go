package main

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/node"
	"drystone/protocol"
)

func peerNamed(n int) protocol.PeerID { return protocol.DeriveKey(77, fmt.Sprint("peer/", n)).ID() }

// knownRun is a run of four aggregators of which three sign.
type knownRun struct{}

func (knownRun) Spec() *protocol.RunSpec {
	return &protocol.RunSpec{Payout: protocol.PayoutSpec{Symbol: "STONE", Budget: 1000}}
}
func (knownRun) Rounds() uint32 { return 3 }
func (knownRun) Few() string    { return "round 3 has 2 contributors" }
func (knownRun) Council() *protocol.Council {
	return &protocol.Council{Threshold: 3, Members: make([]protocol.Aggregator, 4)}
}

// statusOf is a run in its round 3, with so many peers.
func statusOf(peers int) *node.Status {
	s := &node.Status{Name: "stones", Rounds: 12, Teller: peerNamed(100), InPhase: 4.2}
	v := &s.View
	v.Phase, v.Round, v.Total, v.LogSize, v.Settled = aggregate.PhaseTrain, 3, 12, 99, 1
	for i := range peers {
		s.Peers = append(s.Peers, node.PeerState{ID: peerNamed(i), State: "training"})
	}
	for i := range 4 {
		v.Aggregators = append(v.Aggregators, aggregate.AggregatorView{ID: peerNamed(100 + i), Checks: 2})
		if i < 3 {
			s.Up = append(s.Up, peerNamed(100+i))
		}
	}
	for i := range 3 {
		s.Timings = append(s.Timings, node.RoundTiming{Round: uint32(i), Seconds: map[string]float64{"train": float64(i + 1), "merge": 0.5}})
	}
	return s
}

// A page says what is verified, whose word the rest is and how old, and keeps to the size of a terminal.
func TestDrawStatus(t *testing.T) {
	s := statusOf(200)
	s.View.Pause = &protocol.Signed[protocol.Control]{Body: protocol.Control{Action: protocol.ActionPause, Nonce: 5}}
	s.View.Change = &protocol.Signed[protocol.Control]{Body: protocol.Control{Action: protocol.ActionRemove, Nonce: 6, Remove: []protocol.PeerID{peerNamed(101)}}}
	s.View.LastSettled = &aggregate.SettledEpoch{Settlement: protocol.Settlement{Total: protocol.AmountOf(big.NewInt(25e17))}}
	s.View.Evidence = []aggregate.Evidence{{Kind: aggregate.EvidenceDoubleStatement, Round: 2, Who: peerNamed(102)}}
	s.Network.Trouble = "half the \x1b[31mnetwork is gone"
	full := drawStatus(knownRun{}, s, 7*time.Second, 200)
	for _, want := range []string{
		"stones", "3 of 4 aggregators sign: outvotes 1 that lie", "3 rounds certified", "as told by " + s.Teller.Short() + ", 7 seconds ago", "round 3 of 12, leader none",
		"pause, number 5 of the founder", "remove -" + peerNamed(101).Short() + ", number 6 of the founder: pending", "99 leaves", "median",
		"few      round 3 has 2 contributors", "1 epochs; 2.5000 of 1000 STONE earned, what is not earned goes back to the founder at the end",
		"evidence 1 entries in the log", "  double statement, round 2: " + peerNamed(102).String(), "2.5", peerNamed(199).String(),
	} {
		if !strings.Contains(full, want) {
			t.Errorf("the page does not say %q:\n%.3000s", want, full)
		}
	}
	if strings.Contains(full, "\x1b") {
		t.Error("control characters of an aggregator reach the terminal")
	}
	for _, size := range [][2]int{{80, 24}, {120, 50}, {40, 12}, {20, 4}} {
		text := firstLines(drawStatus(knownRun{}, s, 0, size[0]), size[1]-1)
		lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
		if len(lines) != size[1]-1 || !strings.Contains(lines[len(lines)-1], "more lines") {
			t.Errorf("%d lines on a screen of %d, the last %q", len(lines), size[1], lines[len(lines)-1])
		}
		for _, l := range lines {
			if len([]rune(l)) >= size[0] && !strings.Contains(l, "more lines") {
				t.Errorf("a line of %d characters on a screen of %d: %s", len([]rune(l)), size[0], l)
			}
		}
		if size[1] == 50 && !strings.Contains(text, "up               2 checks, 0 faults") {
			t.Errorf("the aggregators are not on the page:\n%s", text)
		}
	}
	if text := "one\ntwo\n"; firstLines(text, 2) != text || firstLines(text, 9) != text {
		t.Error("a text that fits is cut")
	}
	if got := inPlace("one\ntwo\n", false); got != "\x1b[Hone\x1b[K\r\ntwo\x1b[K\r\n\x1b[J" {
		t.Errorf("drawn in place: %q", got)
	}
}

// Who gets what when a run is over, and when it was stopped early alike.
func TestMoneyAtTheEnd(t *testing.T) {
	s := statusOf(1)
	spec := knownRun{}.Spec()
	s.View.Phase = aggregate.PhaseDraining
	if got := money(spec, s); !strings.Contains(got, "0.0000 of 1000 STONE earned, the rest goes back to the founder once all is settled") {
		t.Error(got)
	}
	s.View.Phase, s.Returned = aggregate.PhaseFinished, true
	if got := money(spec, s); !strings.Contains(got, "the rest is back at the founder's account") {
		t.Error(got)
	}
}

// Without a terminal a change is a line, and what merely grows is none.
func TestStatusSummary(t *testing.T) {
	s := statusOf(2)
	line := summary(s)
	if want := "round 3 of 12  train  leader none  3 of 4 aggregators up  2 training  1 epochs settled"; line != want {
		t.Errorf("%q, want %q", line, want)
	}
	s.InPhase, s.View.LogSize = 9, 120
	if summary(s) != line {
		t.Errorf("%q, nothing has changed since %q", summary(s), line)
	}
	s.Peers[0].State = "committed"
	if summary(s) == line {
		t.Error("a commit is no change")
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/node"
	"drystone/protocol"
	"drystone/verify"
)

// The founder takes a fifth aggregator into a running council of processes and lets one go: rounds go on and are paid under
// each new council, the newcomer signs, and a proof over both changes audits (docs/protocol.md, "Between rounds"). With -long
// the one that goes has died before, and rounds under all three councils are audited.
func TestFounderAddsAndRemoves(t *testing.T) {
	n := newNetwork(t, 43, 100_000, 1)
	n.begin()
	trainer := n.join("trainer-0")
	order := func(args ...string) {
		t.Helper()
		if code, out, errOut := command(t, append(args, "--key", n.file("aggregator-0.json"))...); code != 0 {
			t.Fatalf("%s: exit code %d: %s%s", strings.Join(args, " "), code, out, errOut)
		}
	}
	// paid waits until a whole epoch that began after now is settled, and returns a round of it.
	paid := func(what string) uint32 {
		t.Helper()
		now := n.until(n.link, "a status", func(node.Status) bool { return true })
		epoch := uint64(now.View.Round/n.spec.Payout.EpochRounds) + 1
		n.until(n.link, what, func(s node.Status) bool { return s.View.Settled > epoch })
		return uint32(epoch) * n.spec.Payout.EpochRounds
	}
	council := func(of int, threshold int) {
		t.Helper()
		s := n.until(n.link, fmt.Sprintf("a council of %d", of), func(s node.Status) bool {
			return s.View.Change == nil && len(s.View.Council.Members) == of
		})
		if s.View.Council.Threshold != threshold {
			t.Errorf("%d of %d sign, want %d", s.View.Council.Threshold, of, threshold)
		}
	}
	var rounds []uint32
	if *long {
		rounds = append(rounds, paid("an epoch of the first council"))
	}
	n.until(n.link, "a certified round", func(s node.Status) bool { return s.View.Round >= 1 })

	n.key("newcomer")
	newcomer := n.start("newcomer", "aggregate", n.link, "--dir", n.file("newcomer"), "--key", n.file("newcomer.json"), "--threads", "1")
	order("aggregators", "add", n.link, newcomer.await(&newcomer.out, "drystone-aggregator:"))
	newcomer.await(&newcomer.err, "the council has taken this aggregator in")
	council(5, 4)
	if *long { // four of five must sign: without this one nothing is certified that the newcomer does not sign
		n.aggs[1].kill()
	}
	id := n.key("newcomer").ID()
	n.until(n.link, "the newcomer's signature", func(s node.Status) bool { return signs(s, id) })
	rounds = append(rounds, paid("an epoch of the larger council"))

	gone := n.key("aggregator-1").ID()
	order("aggregators", "remove", n.link, gone.String())
	if !*long {
		n.aggs[1].wait(0)
	}
	council(4, 3)
	rounds = append(rounds, paid("an epoch of the smaller council"))
	s := n.until(n.link, "a status", func(node.Status) bool { return true })
	in := func(id protocol.PeerID) bool {
		return slices.ContainsFunc(s.View.Council.Members, func(m protocol.Aggregator) bool { return m.ID == id })
	}
	if in(gone) || !in(id) {
		t.Errorf("the council after both changes: %+v", s.View.Council.Members)
	}
	order("stop", n.link, "--yes")
	n.until(n.link, "finished", func(s node.Status) bool { return s.View.Phase == aggregate.PhaseFinished && s.View.Ended })
	trainer.wait(0)
	if !*long {
		rounds = rounds[1:] // whose proof holds both changes
	}
	for _, round := range rounds {
		n.audit(newcomer.await(&newcomer.out, "drystone:"), s.Run, n.key("trainer-0").ID(), round)
	}
}

// audit fetches a proof by a link and wants it to pass every level with the blobs of those who are in the council.
func (n *network) audit(link string, run protocol.Digest, peer protocol.PeerID, round uint32) {
	n.t.Helper()
	proof := n.file(fmt.Sprintf("round-%d.proof", round))
	if code, _, errOut := command(n.t, "proof", link, "--peer", peer.String(), "--round", fmt.Sprint(round), "-o", proof); code != 0 {
		n.t.Errorf("proof of round %d: exit code %d, %s", round, code, errOut)
		return
	}
	args := []string{"audit", proof, "--run", run.String(), "--json"}
	for _, name := range []string{"launch", "aggregator-2", "aggregator-3", "newcomer"} {
		args = append(args, "--blobs", filepath.Join(n.file(name), "data", "blobs"))
	}
	var report verify.Report
	code, out, errOut := command(n.t, args...)
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.Standing != verify.StandingPassed || report.Levels[verify.L3].Status != verify.StatusPassed {
		n.t.Errorf("audit of round %d: exit code %d, %v %s\n%s", round, code, err, errOut, out)
	}
}

// signs reports whether a statement of the newest rounds bears the signature of id.
func signs(s node.Status, id protocol.PeerID) bool {
	for _, r := range s.View.Rounds {
		for _, st := range r.Statements {
			if slices.ContainsFunc(st.Sigs, func(c protocol.Cosignature) bool { return c.Signer == id }) {
				return true
			}
		}
	}
	return false
}

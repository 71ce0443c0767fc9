package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/node"
	"drystone/protocol"
	"drystone/verify"
)

// pay is what rounds of work earn: tokens x per_million / 1e6, in smallest units.
func (n *network) pay(rounds int) string {
	units := uint64(rounds) * uint64(n.spec.Train.Steps) * n.spec.TokensPerStep() * n.spec.Payout.PerMillion // of 1e-6 tokens
	return strconv.FormatUint(units, 10) + strings.Repeat("0", 12)
}

// Processes that know of one another by the run link alone: a run to its end, and every command on it. One key is
// encrypted, one contributor is paid elsewhere, one joins late, trains half the shards, and is paid for what it did.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes")
	}
	n := newNetwork(t, 31, 12, 2)
	n.begin()
	cold, err := protocol.DeriveKey(n.seed, "cold").ID().Address()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(n.file("pw"), []byte("correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.WriteKey(n.file("secret.json"), protocol.DeriveKey(n.seed, "secret"), "correct horse"); err != nil {
		t.Fatal(err)
	}
	first := n.join("first", "--payout", cold.String())
	secret := n.join("secret", "--password-file", n.file("pw"))
	n.until(n.link, "round 2", func(s node.Status) bool { return s.View.Round >= 2 })
	late := n.join("late", "--shards", "2")
	watch, watchJSON := n.start("watch", "status", n.link, "--watch"), n.start("watch-json", "status", n.link, "--watch", "--json")

	whole := n.result(first)
	if whole.Balance != n.pay(12) || whole.Earned != whole.Balance || whole.Rounds != 12 || whole.Account != cold {
		t.Errorf("first: %+v, want 12 rounds and %s on %s", whole, n.pay(12), cold)
	}
	if r := n.result(secret); r.Balance != n.pay(12) {
		t.Errorf("secret: %+v, want %s", r, n.pay(12))
	}
	r := n.result(late)
	full := uint64(r.Rounds) * uint64(n.spec.Train.Steps) * n.spec.TokensPerStep()
	share := strconv.FormatUint(r.Tokens*n.spec.Payout.PerMillion, 10) + strings.Repeat("0", 12)
	if r.Rounds < 1 || r.Rounds > 10 || r.Shards != 2 || r.Of != 4 || r.Memory <= 0 || r.Memory >= whole.Memory || r.Tokens >= full || r.Balance != share {
		t.Errorf("late: %+v, want 1 to 10 rounds of 2 of 4 shards, paid %s", r, share)
	}
	checkCommands(t, n, whole)
	checkWatch(t, watch, watchJSON, whole.Peer)
	for _, p := range n.aggs {
		p.stop()
	}
	quiet(t, n.aggs[:]...)
	quiet(t, first, secret, late)
}

// quiet wants no warnings.
func quiet(t *testing.T, all ...*process) {
	for _, p := range all {
		for _, l := range p.lines(&p.err) {
			if strings.Contains(l, "WARN") || strings.Contains(l, "failed") || strings.Contains(l, "error") || strings.HasPrefix(l, "drystone:") {
				t.Errorf("%s says: %s", p.name, l)
			}
		}
	}
}

func checkCommands(t *testing.T, n *network, whole joinResult) {
	s := n.until(n.linkOf(2), "the end", func(s node.Status) bool { return s.View.Phase == aggregate.PhaseFinished })
	if s.Run != whole.RunID || len(s.View.Peers) != 3 || s.Rounds != 12 {
		t.Errorf("status: run %s, %d peers, %d rounds", s.Run, len(s.View.Peers), s.Rounds)
	}
	if code, out, _ := command(t, "status", n.link); code != 0 || !strings.Contains(out, whole.Peer.String()) {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	var claim node.Claim
	code, out, errOut := command(t, "claim", n.link, "--account", whole.Account.String(), "--json")
	if err := json.Unmarshal([]byte(out), &claim); err != nil || code != 0 || claim.Paid != "0" || claim.Balance != whole.Balance {
		t.Errorf("claim: exit code %d, %+v, %v %s", code, claim, err, errOut)
	}
	oneError(t, 1, []string{"earned nothing"}, "claim", n.link, "--account", "0x"+strings.Repeat("12", 20))
	model := filepath.Join(t.TempDir(), "model")
	if code, _, errOut := command(t, "export", n.link, "-o", model); code != 0 {
		t.Fatalf("export: exit code %d, %s", code, errOut)
	}
	readModel(t, model, int(modelParams(t, n)), s.View.Model.String())
	oneError(t, 1, []string{"round 99"}, "export", n.link, "--round", "99", "-o", filepath.Join(t.TempDir(), "none"))
	proof := filepath.Join(t.TempDir(), "one.proof")
	if code, _, errOut := command(t, "proof", n.linkOf(3), "--peer", whole.Peer.String(), "--round", "7", "-o", proof); code != 0 {
		t.Fatalf("proof: exit code %d, %s", code, errOut)
	}
	oneError(t, 1, []string{"round 99"}, "proof", n.link, "--peer", whole.Peer.String(), "--round", "99", "-o", proof+"x")
	var report verify.Report
	code, out, errOut = command(t, "audit", proof, "--run", whole.RunID.String(), "--blobs", filepath.Join(n.file("aggregator-1"), "data", "blobs"), "--json")
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.Standing != verify.StandingPassed || report.Levels[verify.L3].Status != verify.StatusPassed {
		t.Errorf("audit: exit code %d, %v %s\n%s", code, err, errOut, out)
	}
}

// checkWatch: status --watch tells every change in a line of its own, as text or as JSON, and ends with the run.
func checkWatch(t *testing.T, watch, watchJSON *process, peer protocol.PeerID) {
	watch.wait(0)
	watchJSON.wait(0)
	lines := watch.lines(&watch.out)
	if n := len(lines); n < 3 || !strings.Contains(lines[n-1], "round 12 of 12  finished") || !strings.Contains(lines[n-1], "4 of 4 aggregators up") || !strings.Contains(lines[n-1], "6 epochs settled") {
		t.Errorf("status --watch says\n  %s", strings.Join(lines, "\n  "))
	}
	for i := 1; i < len(lines); i++ {
		if lines[i] == lines[i-1] || strings.Contains(lines[i], "\x1b") {
			t.Errorf("status --watch, without a terminal, says %q", lines[i])
		}
	}
	var last node.Status
	for _, l := range watchJSON.lines(&watchJSON.out) {
		var s node.Status
		if err := json.Unmarshal([]byte(l), &s); err != nil {
			t.Fatalf("status --watch --json: %v in %.200s", err, l)
		}
		if s.View.Round < last.View.Round || s.Teller == (protocol.PeerID{}) {
			t.Errorf("status --watch --json: round %d after %d, told by %s", s.View.Round, last.View.Round, s.Teller)
		}
		last = s
	}
	if n := len(last.Timings); n == 0 || last.View.Phase != aggregate.PhaseFinished || last.Timings[n-1].Round != 11 || last.Timings[n-1].Seconds["train"] <= 0 {
		t.Errorf("status --watch --json ends in phase %s with timings %+v", last.View.Phase, last.Timings)
	}
	if !slices.ContainsFunc(last.Peers, func(p node.PeerState) bool { return p.ID == peer && p.State == "checked" && p.Rounds == 12 }) {
		t.Errorf("status --watch --json ends with peers %+v", last.Peers)
	}
}

func modelParams(t *testing.T, n *network) uint64 {
	t.Helper()
	c, err := parseLink(n.link)
	if err != nil {
		t.Fatal(err)
	}
	client, err := node.Dial(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	return client.Genesis().Params
}

// The ledger host is killed in mid-run, then whoever leads the Raft group: each time the others go on, the killed one
// catches up from its directory, and the run ends in the state of an undisturbed one, everyone paid.
func TestKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six processes")
	}
	const rounds = 18
	n := newNetwork(t, 32, rounds, 2)
	n.begin()
	trainers := []*process{n.join("trainer-0"), n.join("trainer-1")}
	reached := func(round uint32) func(node.Status) bool {
		return func(s node.Status) bool { return s.View.Round >= round }
	}
	n.until(n.link, "round 2", reached(2))
	n.aggs[0].kill()
	elsewhere := n.linkOf(1)
	at := n.until(elsewhere, "any answer", reached(2)).View.Round
	s := n.until(elsewhere, "two more rounds without the ledger host", reached(at+2))
	n.launch()

	s = n.until(elsewhere, "a leader", func(s node.Status) bool { return s.Leader != nil })
	leader := -1
	for i := range n.aggs {
		if n.key("aggregator-"+strconv.Itoa(i)).ID() == *s.Leader {
			leader = i
		}
	}
	if leader < 0 {
		t.Fatalf("leader %s is no aggregator", s.Leader)
	}
	if s.View.Round >= rounds {
		t.Fatal("the run was over before its leader could be killed: give it more rounds")
	}
	n.aggs[leader].kill()
	other := n.linkOf((leader + 1) % 4)
	n.until(other, "another leader", func(s node.Status) bool {
		return s.Leader != nil && *s.Leader != n.key("aggregator-"+strconv.Itoa(leader)).ID()
	})
	n.restart(leader)
	for _, p := range trainers {
		if r := n.result(p); r.Balance != n.pay(rounds) {
			t.Errorf("%s: %+v, want %s", p.name, r, n.pay(rounds))
		}
	}
	want := undisturbed(t, n)
	for i := range n.aggs {
		s := n.until(n.linkOf(i), "everyone at the end", func(s node.Status) bool { return s.View.Phase == aggregate.PhaseFinished })
		if s.View.Model != want {
			t.Errorf("aggregator %d ends with state %s, an undisturbed run with %s", i, s.View.Model, want)
		}
	}
	for _, p := range n.aggs {
		p.stop()
	}
}

// undisturbed plays the same run, in this process, to its end.
func undisturbed(t *testing.T, n *network) protocol.Digest {
	t.Helper()
	cfg := node.LocalConfig{Spec: n.spec, Data: n.data, Dir: t.TempDir(), Threads: 1}
	for i := range 4 {
		cfg.Aggregators = append(cfg.Aggregators, n.key("aggregator-"+strconv.Itoa(i)))
	}
	for i := range 2 {
		cfg.Trainers = append(cfg.Trainers, node.LocalTrainer{Key: n.key("trainer-" + strconv.Itoa(i))})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	l, err := node.StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	select {
	case <-l.Aggregators[0].Finished():
	case <-ctx.Done():
		t.Fatal("the undisturbed run does not end")
	}
	if l.Run.String() != n.runID() {
		t.Fatalf("run %s is not the processes' %s: the run spec differs", l.Run, n.runID())
	}
	return l.Aggregators[0].View().Model
}

func (n *network) runID() string {
	id, _, _ := strings.Cut(strings.TrimPrefix(n.link, "drystone:"), "@")
	return id
}

package node

import (
	"context"
	"slices"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// A run over real sockets whose founder takes an aggregator out and then stops it early: the others go on under the
// rule's threshold, the contract is handed over, everyone is paid, and proofs from before and after the change audit
// offline (docs/protocol.md, Between rounds).
func TestCouncilChangesAndRunStops(t *testing.T) {
	const rounds, last = 8, 3 // planned; stopped while round 3 is under way
	cfg := tinyConfig(t, 11, rounds, 2, nil)
	var rec recorder
	cfg.OnEvent = rec.event
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	l, err := StartLocal(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	host, gone := l.Aggregators[0], cfg.Aggregators[3].ID()
	order := func(nonce uint64, a protocol.Action, out ...protocol.PeerID) {
		t.Helper()
		c := protocol.Control{Run: l.Run, Founder: cfg.Aggregators[0].ID(), Action: a, Nonce: nonce, Add: []protocol.Signed[protocol.Accept]{}, Remove: out}
		if err := host.propose(ctx, aggregate.ControlRecord(protocol.Sign(cfg.Aggregators[0], c))); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, ctx, host.history, protocol.KindOpen, 0)
	order(1, protocol.ActionRemove, gone)
	eventually(t, ctx, host.history, protocol.KindOpen, last)
	order(2, protocol.ActionStop)
	awaitFinished(t, ctx, host)

	v := host.View()
	if !v.Ended || v.Total > last+1 || v.Settled != uint64(v.Total+1)/2 || len(v.Council.Members) != 3 || v.Council.Threshold != 2 {
		t.Errorf("ended %v after %d rounds, %d epochs settled, council %+v", v.Ended, v.Total, v.Settled, v.Council)
	}
	if n, err := host.bank.rotated(ctx); err != nil || n != 1 {
		t.Errorf("the contract's signers were replaced %d times: %v", n, err)
	}
	if n, err := host.bank.settled(ctx); err != nil || n != v.Settled {
		t.Errorf("epoch %d stands on the chain: %v", n, err)
	}
	wantRefunded(t, ctx, host, v.LastSettled.Settlement.Total.Big())
	for i, tr := range l.Trainers {
		<-tr.Finished()
		if err := tr.Err(); err != nil {
			t.Errorf("trainer %d ended with %v", i, err)
		}
		for _, round := range []uint32{0, v.Total - 1} {
			proof := awaitProof(t, ctx, host, round, tr.ID())
			// Of three aggregators two own each shard, so none has all payloads.
			r, err := Audit(ctx, proof, &l.Run, []string{blobsOf(cfg, 0), blobsOf(cfg, 1), blobsOf(cfg, 2)}, 1)
			if err != nil || r.Level != "L3" {
				t.Errorf("proof of round %d: %v, %+v", round, err, r)
			}
		}
	}
	said := rec.of(EventWarning)
	if !slices.ContainsFunc(said, func(e Event) bool { return strings.Contains(e.Text, "2 of 3 aggregators is crash-only") }) {
		t.Errorf("nobody said that the new quorum is crash-only: %+v", said)
	}
}

// Which quorums outvote a liar (DESIGN, section 4), and what is said of those that do not.
func TestCrashOnly(t *testing.T) {
	for q, want := range map[protocol.QuorumSpec]string{
		{Aggregators: 4, Threshold: 3}: "",
		{Aggregators: 5, Threshold: 4}: "",
		{Aggregators: 7, Threshold: 5}: "",
		{Aggregators: 3, Threshold: 2}: "survives crashes of 1 and outvotes no liar",
		{Aggregators: 5, Threshold: 3}: "survives crashes of 2 and outvotes no liar",
		{Aggregators: 4, Threshold: 4}: "survives no crash and outvotes no liar",
		{Aggregators: 1, Threshold: 1}: "survives no crash and outvotes no liar",
	} {
		if got := CrashOnly(q); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%+v: %q", q, got)
		}
	}
	if q := DemoSpec(1, 1, 1).Quorum; q != (protocol.QuorumSpec{Aggregators: 4, Threshold: 3}) {
		t.Errorf("the default quorum is %+v, want 3 of 4", q)
	}
}

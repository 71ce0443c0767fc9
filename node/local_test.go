package node

import (
	"context"
	"math/big"
	"slices"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
	"drystone/verify"
)

// A whole run over real sockets: honest peers are paid on the chain what the RunSpec says, the cheat is convicted for
// its first fabricated contribution, and every contribution's proof audits offline (docs/protocol.md, One round).
func TestLocalRun(t *testing.T) {
	const (
		rounds, peers = 6, 3
		cheat         = 1 // fabricates from round 3 on, in epoch 2 (rounds 2 and 3)
		first         = 3
	)
	cfg := tinyConfig(t, 1, rounds, peers, func(i int, round uint32) bool { return i == cheat && round >= first })
	cold, err := protocol.DeriveKey(1, "cold wallet").ID().Address()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Trainers[0].Payout = cold
	var rec recorder
	cfg.OnEvent = rec.event
	l := runLocal(t, cfg)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()

	t.Run("conviction", func(t *testing.T) { checkConviction(t, l, cheat, first, rounds) })
	t.Run("payouts", func(t *testing.T) { checkPayouts(t, ctx, l, cheat) })
	t.Run("proofs", func(t *testing.T) { checkProofs(t, ctx, l, cfg, cheat, first, rounds) })
	t.Run("flipped", func(t *testing.T) { checkFlips(t, ctx, l) })
	t.Run("trainers", func(t *testing.T) {
		for i, tr := range l.Trainers {
			<-tr.Finished()
			if err := tr.Err(); (err != nil) != (i == cheat) {
				t.Errorf("trainer %d ended with %v", i, err)
			} else if i == cheat && !strings.Contains(err.Error(), ErrConvicted.Error()) {
				t.Errorf("the cheat ended with %v, want %v", err, ErrConvicted)
			}
		}
	})
	t.Run("dead aggregator", func(t *testing.T) { // nobody has more to tell, and one does not answer
		m := &l.Aggregators[0].member
		dead := protocol.DeriveKey(1, "dead").ID()
		if err := m.catchUp(ctx, []protocol.PeerID{dead, cfg.Aggregators[1].ID()}); err != nil {
			t.Errorf("catching up: %v", err)
		}
		if m.catchUp(ctx, []protocol.PeerID{dead}) == nil {
			t.Error("caught up from nobody")
		}
	})
	t.Run("few", func(t *testing.T) { // three peers, and two once the cheat is out
		said := rec.of(EventFew)
		if len(said) != 2 || said[0].Count != peers || said[0].Round != 0 || said[1].Count != peers-1 {
			t.Errorf("of too few contributors was said %+v", said)
		}
	})
	t.Run("warnings", func(t *testing.T) {
		for _, e := range rec.of(EventWarning) {
			if !strings.Contains(e.Text, ErrConvicted.Error()) {
				t.Errorf("a warning in a run without trouble: %s", e.Text)
			}
		}
	})
}

// checkConviction: the verdict on round r takes effect at the opening of r + W (docs/protocol.md).
func checkConviction(t *testing.T, l *Local, cheat int, first, rounds uint32) {
	for i, a := range l.Aggregators {
		for _, p := range a.View().Peers {
			guilty := p.ID == l.Trainers[cheat].ID()
			if p.Convicted != guilty {
				t.Errorf("aggregator %d: peer %s convicted: %v", i, p.ID.Short(), p.Convicted)
			}
			if guilty && p.Refuted != first {
				t.Errorf("aggregator %d: convicted for round %d, the first fabricated one is %d", i, p.Refuted, first)
			}
		}
	}
	out := first + l.spec.Verify.Window
	for round := range rounds {
		open, _, err := await[protocol.Open](t.Context(), l.Aggregators[0].history, protocol.KindOpen, round)
		if err != nil {
			t.Fatal(err)
		}
		for i, tr := range l.Trainers {
			want := i != cheat || round < out+l.spec.Train.Delay // with a delay it is announced, and then refused
			if got := slices.Contains(open.Roster, tr.ID()); got != want {
				t.Errorf("round %d: trainer %d in the roster: %v, want %v", round, i, got, want)
			}
		}
	}
	checks := l.Aggregators[0].Checks()
	for i, tr := range l.Trainers {
		n := checks[tr.ID()]
		if i != cheat && (n.Failed != 0 || n.Passed != int(rounds)) {
			t.Errorf("trainer %d: %d checks passed and %d failed, want %d and 0", i, n.Passed, n.Failed, rounds)
		}
		if i == cheat && (n.Failed != int(out-first) || n.Passed != int(first)) {
			t.Errorf("cheat: %d checks passed and %d failed, want %d and %d", n.Passed, n.Failed, first, out-first)
		}
	}
}

// checkPayouts reads the balances from the chain. The cheat earned in epoch 1 only: its honest round 2 is of the epoch in
// which it was refuted.
func checkPayouts(t *testing.T, ctx context.Context, l *Local, cheat int) {
	c, err := Dial(ctx, l.Link, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.VerifyContracts(ctx); err != nil {
		t.Error(err)
	}
	for i, tr := range l.Trainers {
		paidRounds := uint64(6)
		if i == cheat {
			paidRounds = 2
		}
		perRound := uint64(l.spec.Train.Steps) * l.spec.TokensPerStep()
		want := new(big.Int).Mul(tokens(1), new(big.Int).SetUint64(paidRounds*perRound*l.spec.Payout.PerMillion))
		want.Div(want, big.NewInt(1e6))
		claim, err := c.Claim(ctx, tr.Payout())
		if err != nil {
			t.Fatalf("trainer %d: %v", i, err)
		}
		if claim.Paid != want.String() {
			t.Errorf("trainer %d: paid %s, want %s", i, claim.Paid, want)
		}
		if again, err := c.Claim(ctx, tr.Payout()); err != nil || again.Paid != "0" {
			t.Errorf("trainer %d: a second claim paid %+v, %v", i, again, err)
		}
		balance, err := c.Balance(ctx, tr.Payout())
		if err != nil {
			t.Fatal(err)
		}
		if balance.Cmp(want) != 0 {
			t.Errorf("trainer %d: balance %s on the chain, want %s", i, balance, want)
		}
		own, err := tr.ID().Address()
		if err != nil {
			t.Fatal(err)
		}
		if own == tr.Payout() {
			continue
		}
		if balance, err = c.Balance(ctx, own); err != nil || balance.Sign() != 0 {
			t.Errorf("trainer %d: the peer key's account holds %s, %v; the payout account is another", i, balance, err)
		}
	}
}

// checkProofs audits the proof of every contribution, with nothing but the file, and with an aggregator's blobs.
func checkProofs(t *testing.T, ctx context.Context, l *Local, cfg LocalConfig, cheat int, first, rounds uint32) {
	for round := range rounds {
		revealed, err := l.Aggregators[0].Revealed(round)
		if err != nil {
			t.Fatal(err)
		}
		for _, peer := range revealed {
			a := l.Aggregators[int(round)%len(l.Aggregators)] // anyone's word is as good
			proof, err := a.Proof(ctx, round, peer)
			if err != nil {
				t.Fatalf("round %d, peer %s: %v", round, peer.Short(), err)
			}
			fabricated := peer == l.Trainers[cheat].ID() && round >= first
			checkReport(t, ctx, proof, &l.Run, nil, fabricated)
			checkReport(t, ctx, proof, nil, nil, fabricated)
			checkReport(t, ctx, proof, &l.Run, []string{blobsOf(cfg, 0)}, fabricated)
		}
	}
}

func checkReport(t *testing.T, ctx context.Context, proof []byte, run *protocol.Digest, blobs []string, fabricated bool) {
	t.Helper()
	r, err := Audit(ctx, proof, run, blobs, 1)
	if r == nil {
		t.Fatalf("audit without a report: %v", err)
	}
	if err != nil {
		t.Errorf("round %d of %s: %v", r.Round, r.Peer.Short(), err)
	}
	if r.Pinned != (run != nil) {
		t.Errorf("pinned %v, with a RunID: %v", r.Pinned, run != nil)
	}
	want := verify.StandingPassed
	if fabricated {
		want = verify.StandingRefuted
	}
	if r.Standing != want {
		t.Errorf("round %d of %s: standing %q, want %q", r.Round, r.Peer.Short(), r.Standing, want)
	}
	for _, l := range r.Levels[:2] {
		if l.Status != verify.StatusPassed {
			t.Errorf("round %d of %s: %s is %q", r.Round, r.Peer.Short(), l.Level, l.Status)
		}
	}
	if blobs != nil && r.Levels[verify.L3].Status != verify.StatusPassed {
		t.Errorf("round %d of %s with blobs: merge %q, %v", r.Round, r.Peer.Short(), r.Levels[verify.L3].Status, r.NotChecked)
	}
}

// checkFlips: no byte of a proof can change unnoticed, and what the audit says names something.
func checkFlips(t *testing.T, ctx context.Context, l *Local) {
	proof, err := l.Aggregators[0].Proof(ctx, 1, l.Trainers[0].ID())
	if err != nil {
		t.Fatal(err)
	}
	stride := len(proof)/32 | 1 // an audit verifies pairings: a fraction of a second each
	switch {
	case *long:
		stride = *flipStride
	case testing.Short():
		stride = len(proof)/8 | 1
	}
	for i := 0; i < len(proof); i += stride {
		bad := slices.Clone(proof)
		bad[i] ^= 1 << (i % 8)
		_, err := Audit(ctx, bad, &l.Run, nil, 1)
		if err == nil {
			t.Errorf("byte %d of %d flipped, and the audit passes", i, len(proof))
		} else if text := err.Error(); len(text) < 12 || strings.Contains(text, "\n") {
			t.Errorf("byte %d of %d flipped: %q", i, len(proof), text)
		}
	}
}

// The leaves that package verify reads are those that package aggregate writes: the two never import one another.
func TestLeafTypesAgree(t *testing.T) {
	for got, want := range map[verify.LeafType]aggregate.RecordType{
		verify.LeafJoin: aggregate.RecordJoin, verify.LeafCommit: aggregate.RecordCommit, verify.LeafDraw: aggregate.RecordDraw,
		verify.LeafVerdict: aggregate.RecordVerdict, verify.LeafStatement: aggregate.LeafStatement,
	} {
		if uint8(got) != uint8(want) {
			t.Errorf("verify's leaf type %d is aggregate's %d (%s)", got, want, want)
		}
	}
}

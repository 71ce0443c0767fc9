package node

import (
	"context"
	"errors"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
)

// A trainer that opens nothing in one round, as a machine whose lid is closed, loses that round's pay and no more where the
// run spec grants grace; it hears why, and stays in the run. In the round of its second absence it is convicted, and hears
// that nobody saw a lie (docs/protocol.md, Check).
func TestLidClosed(t *testing.T) {
	if !*long {
		t.Skip("waits for the deadlines of checks; go test ./node -run LidClosed -long")
	}
	const rounds = 6
	cfg := tinyConfig(t, 29, rounds, 2, nil)
	cfg.Spec.Verify.Grace = true
	cfg.Spec.Payout.EpochRounds = 3
	cfg.Spec.Deadlines.Check = 24
	closed := func(round uint32) bool { return round == 0 || round == 3 }
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
	sleepy := l.Trainers[0]
	sleepy.host.Handle(callOpen, maxSmall, func(ctx context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		var r protocol.OpenRequest
		if err := protocol.Decode(req, maxSmall, &r); err == nil && closed(r.Round) {
			return nil, gossip.Errorf(gossip.CodeBusy, "asleep")
		}
		return sleepy.answerOpen(ctx, from, req)
	})
	host := l.Aggregators[0]
	var paid *aggregate.SettledEpoch
	for paid == nil {
		changed := host.replica.Changed()
		host.replica.Read(func(m *aggregate.Machine) { paid = m.LastSettled() })
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("no epoch is settled")
		}
	}
	account := func(i int) string { return host.account(l.Trainers[i].Payout()).Earned }
	if slept, awake := decimalOf(t, account(0)), decimalOf(t, account(1)); 3*slept != 2*awake || awake == 0 {
		t.Errorf("of three rounds the sleeper earned %d, the other %d; want two thirds", slept, awake)
	}
	awaitFinished(t, ctx, host)
	s := Status{View: host.view()}
	if err := s.Convicted(sleepy.ID()); !errors.Is(err, ErrConvicted) || !strings.Contains(err.Error(), "round 3") {
		t.Errorf("after a second absence: %v", err)
	}
	if err := s.Convicted(l.Trainers[1].ID()); err != nil {
		t.Error(err)
	}
	<-sleepy.Finished()
	if err := sleepy.Err(); err != nil && !errors.Is(err, ErrConvicted) {
		t.Error(err)
	}
}

// decimalOf is an amount in thousandths of a token, which these runs pay in.
func decimalOf(t *testing.T, units string) int {
	t.Helper()
	n := 0
	for _, c := range strings.TrimSuffix(units, strings.Repeat("0", 12)) {
		n = 10*n + int(c-'0')
	}
	return n
}

// What a trainer is told of its absence or conviction is what the checks on record say.
func TestSayWhyConvicted(t *testing.T) {
	id := protocol.DeriveKey(1, "peer").ID()
	status := func(p aggregate.PeerView, outcomes ...protocol.Outcome) *Status {
		slot := aggregate.SlotView{State: aggregate.SlotRefuted}
		for _, o := range outcomes {
			slot.Verdicts = append(slot.Verdicts, aggregate.VerdictView{Outcome: o})
		}
		p.ID = id
		return &Status{View: aggregate.View{Peers: []aggregate.PeerView{p},
			Rounds: []aggregate.RoundView{{Round: 4, Checks: []aggregate.CheckView{{Peer: id, Slots: []aggregate.SlotView{slot}}}}}}}
	}
	out := aggregate.PeerView{Convicted: true, Refuted: 4}
	const why = "got no opening from it in time"
	if err := status(out, protocol.Withheld, protocol.Withheld, protocol.Passed, protocol.Withheld).Convicted(id); !errors.Is(err, ErrConvicted) || !strings.Contains(err.Error(), why) {
		t.Errorf("nothing opened: %v", err)
	}
	if err := status(out, protocol.Withheld, protocol.Mismatch, protocol.Withheld).Convicted(id); !errors.Is(err, ErrConvicted) || strings.Contains(err.Error(), why) {
		t.Errorf("a lie among them: %v", err)
	}
	if err := status(aggregate.PeerView{Convicted: true, Refuted: 2}).Convicted(id); !errors.Is(err, ErrConvicted) || strings.Contains(err.Error(), why) {
		t.Errorf("a round that is forgotten: %v", err)
	}
	s := status(aggregate.PeerView{Withheld: true, Since: 3})
	if err := s.Convicted(id); err != nil || !strings.Contains(s.Absent(id), "from round 3 on") {
		t.Errorf("absent once: %v, %q", err, s.Absent(id))
	}
}

package aggregate_test

import (
	"errors"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// A contradiction that the log has becomes no leaf again, however much other evidence came since; once its round is forgotten
// it is too late.
func TestContradictionStaysTold(t *testing.T) {
	p := newPlay(t, func(s *protocol.RunSpec) { s.Train.Rounds, s.Verify.Window, s.Payout.EpochRounds = 200, 150, 200 })
	toTrain(p)
	open := p.final[1].Statement
	other := protocol.NewStatement(p.w.Run, 0, open.Prev, protocol.Open{Model: protocol.Hash("another"), Roster: []protocol.PeerID{}})
	liar := p.w.Aggs[0]
	p.must(p.w.Cosign(liar, other))
	for evidence := 0; evidence < 300; {
		v := p.m.View()
		for i := range 3 {
			p.must(p.w.Commit(v, i, "honest"))
			p.must(p.w.Commit(v, i, "another"))
			evidence++
		}
		p.statements(len(p.final) - 1 + 4)
	}
	if v := p.m.View(); len(v.Evidence) != 256 || v.Evidence[0].Who == liar.ID() {
		t.Fatalf("%d pieces of evidence, the first against %s", len(v.Evidence), p.w.Name(v.Evidence[0].Who))
	}
	if err := p.try(p.w.Cosign(liar, other)); !errors.Is(err, aggregate.ErrDiffers) {
		t.Errorf("the same contradiction again: %v", err)
	}
	p.checkContradictions(1)
	p.w.Outcome = nil
	p.work() // the checks end, and the rounds are forgotten
	if err := p.try(p.w.Cosign(liar, other)); !errors.Is(err, aggregate.ErrLate) {
		t.Errorf("the same contradiction when its round is over: %v", err)
	}
	p.checkContradictions(1)
}

// Two settlements of one epoch are evidence against their signer, before the epoch is settled and after, once each; so is nothing
// that VerifySettlement refuses.
func TestDoubleSettlement(t *testing.T) {
	p := newPlay(t, func(s *protocol.RunSpec) { s.Payout.EpochRounds = 1 })
	toSettle(p)
	d := duty[aggregate.DutySettle](p, 0)
	honest := func(i int) []byte { return p.w.Discharge(p.w.Aggs[i], d) }
	lie := func(i int) aggregate.Settle {
		more := d
		more.Work = append([]aggregate.Work{{Peer: p.w.Peers[0].ID(), Account: protocol.Address{9}, Tokens: 5}}, d.Work...)
		return p.w.Settlement(p.w.Aggs[i], more)
	}
	p.must(honest(0))
	forged := lie(0)
	forged.Sig[3] ^= 1
	if err := p.try(aggregate.SettleRecord(forged)); !errors.Is(err, aggregate.ErrInvalid) {
		t.Errorf("a forged one: %v", err)
	}
	p.must(aggregate.SettleRecord(lie(0)))
	if err := p.try(aggregate.SettleRecord(lie(0))); !errors.Is(err, aggregate.ErrDiffers) {
		t.Errorf("another once more: %v", err)
	}
	p.must(honest(1))
	p.must(honest(2)) // settled
	if len(p.fx.Settled) != 1 {
		t.Fatal("the first one of the liar does not count")
	}
	p.must(aggregate.SettleRecord(lie(1)))
	if err := p.try(aggregate.SettleRecord(lie(0))); !errors.Is(err, aggregate.ErrDiffers) {
		t.Errorf("another after the settlement: %v", err)
	}
	if err := p.try(aggregate.SettleRecord(lie(3))); !errors.Is(err, aggregate.ErrLate) {
		t.Errorf("one of somebody who did not sign the first: %v", err)
	}
	p.checkContradictions(2)
	p.checkLog()
}

// Two results for a shard, or two sums of one, make a leaf that proves itself, once for an aggregator and round.
func TestDoubleShard(t *testing.T) {
	for _, sums := range []bool{true, false} {
		p := newOwnedPlay(t, fewOwners)
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1, 2)
		k := p.w.Aggs[0]
		for lied := false; p.m.View().Round == 0; {
			duties := p.m.Duties(k.ID())
			if d, ok := first[aggregate.DutySums](duties); ok && sums && !lied {
				p.must(p.w.Discharge(k, d))
				p.must(p.w.SumsOf(k, d, make([]byte, 24)))
				if err := p.try(p.w.SumsOf(k, d, make([]byte, 24))); !errors.Is(err, aggregate.ErrDiffers) {
					t.Error(err)
				}
				lied = true
			}
			if d, ok := first[aggregate.DutyShard](duties); ok && !sums && !lied {
				p.must(p.w.Discharge(k, d))
				c := p.w.CertifyShard(k, d)
				c.Model = protocol.Hash("another")
				p.must(aggregate.ShardRecord(protocol.Sign(k, c)))
				c.Model = protocol.Hash("a third")
				if err := p.try(aggregate.ShardRecord(protocol.Sign(k, c))); !errors.Is(err, aggregate.ErrDiffers) {
					t.Error(err)
				}
				lied = true
			}
			p.step()
		}
		p.checkContradictions(1)
		p.checkLog()
	}
}

func first[D aggregate.Duty](duties []aggregate.Duty) (d D, ok bool) {
	for _, x := range duties {
		if d, ok = x.(D); ok {
			return d, true
		}
	}
	return d, false
}

package aggregate_test

import (
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// absentIn has everyone pass, but peer 1 open nothing in some rounds; lies says which verifiers get a false opening
// instead.
func (p *play) absentIn(rounds []uint32, lies ...int) {
	bad := p.w.Peers[1].ID()
	p.w.Outcome = func(v protocol.PeerID, d aggregate.DutyCheck) protocol.Outcome {
		switch {
		case d.Peer != bad || !slices.Contains(rounds, d.Assignment.Round):
			return protocol.Passed
		case slices.ContainsFunc(lies, func(i int) bool { return p.w.Aggs[i].ID() == v }):
			return protocol.Mismatch
		}
		return protocol.Withheld
	}
}

func graceful(s *protocol.RunSpec) {
	s.Verify.Grace, s.Verify.Window = true, 2
	s.Train.Rounds, s.Payout.EpochRounds = 6, 3
}

// What is withheld is never paid; the first absence, of fewer than W rounds, costs no more than that, and the second
// convicts, as does whatever more than f verifiers found false (docs/protocol.md, Check). Without grace the first opening
// withheld convicts.
func TestAbsence(t *testing.T) {
	f := aggregate.EvidenceWithheld
	for _, tt := range []struct {
		name     string
		change   func(*protocol.RunSpec)
		rounds   []uint32
		lies     []int
		paid     uint64 // rounds that peer 1 is paid for, of 6
		refuted  int    // round of its conviction, -1 for none
		evidence int
	}{
		{"once", graceful, []uint32{1}, nil, 5, -1, 1},
		{"two rounds of one absence", graceful, []uint32{1, 2}, nil, 4, -1, 2},
		{"three rounds are two absences", graceful, []uint32{1, 2, 3}, nil, 1, 3, 2}, // the epoch of the conviction is void
		{"again much later", graceful, []uint32{0, 3}, nil, 2, 3, 1},
		{"one verifier was lied to", graceful, []uint32{1}, []int{2}, 5, -1, 1},
		{"more than may lie were lied to", graceful, []uint32{1}, []int{1, 2, 3}, 0, 1, 0},
		{"no grace", func(s *protocol.RunSpec) { graceful(s); s.Verify.Grace = false }, []uint32{1}, nil, 0, 1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlay(t, tt.change)
			p.join(0, 1, 2)
			p.join(3)
			p.absentIn(tt.rounds, tt.lies...)
			p.rounds(9, 0, 1, 2, 3)
			v := p.m.View()
			i := slices.IndexFunc(v.Peers, func(x aggregate.PeerView) bool { return x.ID == p.w.Peers[1].ID() })
			peer, per := v.Peers[i], p.w.Spec.TokensPerStep()*5 // the steps that the world's peer 1 takes
			if peer.Convicted != (tt.refuted >= 0) || peer.Convicted && int(peer.Refuted) != tt.refuted {
				t.Errorf("convicted %v, round %d; want round %d", peer.Convicted, peer.Refuted, tt.refuted)
			}
			if peer.Withheld != (tt.evidence > 0 && tt.refuted < 0) || peer.Withheld && peer.Since != tt.rounds[0] {
				t.Errorf("absent %v since round %d", peer.Withheld, peer.Since)
			}
			found := 0
			for _, e := range p.fx.Evidence {
				if e.Kind == f && e.Who == peer.ID {
					found++
				}
			}
			if found != tt.evidence {
				t.Errorf("%d rounds on record as withheld, want %d", found, tt.evidence)
			}
			var paid uint64 // tokens: a settlement of this world pays one unit for each
			for _, x := range v.LastSettled.Payouts {
				if x.Account == peer.Payout {
					paid = x.Cumulative.Big().Uint64()
				}
			}
			if paid != tt.paid*per {
				t.Errorf("paid for %d tokens, want %d of %d rounds", paid, tt.paid*per, tt.paid)
			}
			if v.Phase != aggregate.PhaseFinished {
				t.Errorf("phase %s", v.Phase)
			}
		})
	}
}

// Probation: after an absence one more miss drops the peer, though it was there in between; without it two would have.
func TestProbationAfterAnAbsence(t *testing.T) {
	for _, grace := range []bool{true, false} {
		p := newPlay(t, func(s *protocol.RunSpec) { graceful(s); s.Verify.Window = 1; s.Verify.Grace = true })
		p.join(0, 1, 2)
		p.join(3)
		if p.absentIn([]uint32{1}); !grace {
			p.absentIn(nil)
		}
		p.rounds(2, 0, 1, 2, 3)
		p.work()
		p.commitRostered(0, 2, 3) // peer 1 is absent from round 2
		p.tick(1)
		p.tick(60)
		p.work()
		for _, x := range p.m.View().Peers {
			if x.ID == p.w.Peers[1].ID() && x.Active == grace {
				t.Errorf("grace %v: active %v after %d misses", grace, x.Active, x.Misses)
			}
		}
	}
}

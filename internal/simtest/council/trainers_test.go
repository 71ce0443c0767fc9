package council

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// A trainer that breaks the protocol hurts itself alone: the run finishes, the others are all merged in every round, and
// what becomes of the liar is the rule's.
func TestTrainersThatBreakTheProtocol(t *testing.T) {
	for _, c := range []struct {
		name   string
		lie    func(liar, other *Trainer)
		merged int // rounds in which the liar is in the RevealSet
		frozen int // rounds in which it is in the Freeze
		check  func(s *Sim, liar protocol.PeerID) string
	}{
		{name: "double commit", lie: func(l, _ *Trainer) { DoubleCommit(l) }, merged: -1, frozen: 2,
			check: func(s *Sim, liar protocol.PeerID) string {
				if who := s.Accused(aggregate.EvidenceDoubleCommit); !slices.Equal(who, []protocol.PeerID{liar}) {
					return fmt.Sprintf("%d accused of a double commit", len(who))
				}
				return ""
			}},
		{name: "late commit", lie: func(l, _ *Trainer) { LateCommit(l) }, check: noReceipts},
		{name: "reveal withheld", lie: func(l, _ *Trainer) { WithholdReveal(l) }, frozen: 2, check: dropped},
		{name: "shard withheld", lie: func(l, _ *Trainer) { WithholdShard(l) }, frozen: 2, check: dropped},
		{name: "other payload", lie: func(l, _ *Trainer) { RevealOther(l) }, frozen: 2, check: dropped},
		{name: "stale start", lie: func(l, _ *Trainer) { StaleStart(l) }, frozen: 2, check: dropped},
		{name: "copied commit", lie: Copy, frozen: 2, check: dropped},
		{name: "false work", lie: func(l, _ *Trainer) { FalseWork(l) }, merged: 2, frozen: 2, check: convicted},
		{name: "flood of joins and leaves", lie: func(l, _ *Trainer) { Flood(l, 20) }, merged: -1, frozen: -1, check: oneEntry},
	} {
		t.Run(c.name, func(t *testing.T) {
			play(t, Setup{}, func(s *Sim) { c.lie(s.Trainers[3], s.Trainers[1]) }, limit, live(func(s *Sim) string {
				liar := s.Trainers[3].ID()
				merged, frozen := s.partOf(liar)
				if c.merged >= 0 && merged != c.merged || c.frozen >= 0 && frozen != c.frozen {
					return fmt.Sprintf("the liar is in %d merges and %d Freezes, want %d and %d", merged, frozen, c.merged, c.frozen)
				}
				for _, tr := range s.Trainers[:3] {
					if merged, _ := s.partOf(tr.ID()); merged != 2 {
						return fmt.Sprintf("%s is in %d merges of 2", s.name(tr.ID()), merged)
					}
				}
				return c.check(s, liar)
			}))
		})
	}
}

// partOf counts the RevealSets and Freezes that hold a trainer.
func (s *Sim) partOf(id protocol.PeerID) (merged, frozen int) {
	for _, st := range s.Aggs[0].Chain {
		switch st.Statement.Kind {
		case protocol.KindFreeze:
			f := must(protocol.DecodeBody[protocol.Freeze](&st.Statement))
			if slices.ContainsFunc(f.Commits, func(x protocol.Frozen) bool { return x.Peer == id }) {
				frozen++
			}
		case protocol.KindRevealSet:
			set := must(protocol.DecodeBody[protocol.RevealSet](&st.Statement))
			if slices.ContainsFunc(set.Set, func(x protocol.Revealed) bool { return x.Peer == id }) {
				merged++
			}
		}
	}
	return merged, frozen
}

func (s *Sim) peer(id protocol.PeerID) aggregate.PeerView {
	peers := s.Aggs[0].machine.View().Peers
	return peers[slices.IndexFunc(peers, func(p aggregate.PeerView) bool { return p.ID == id })]
}

func noReceipts(s *Sim, _ protocol.PeerID) string {
	if len(s.Trainers[3].receipts) > 0 {
		return "a commit after the Freeze has a receipt"
	}
	return ""
}

func dropped(s *Sim, liar protocol.PeerID) string {
	if p := s.peer(liar); p.Active || p.Convicted {
		return fmt.Sprintf("after two misses: active %v, convicted %v", p.Active, p.Convicted)
	}
	return ""
}

func convicted(s *Sim, liar protocol.PeerID) string {
	if !s.peer(liar).Convicted {
		return "false work in every segment, and no conviction"
	}
	return ""
}

func oneEntry(s *Sim, liar protocol.PeerID) string {
	if p := s.peer(liar); p.Nonce == 1 || len(s.Aggs[0].machine.View().Peers) != len(s.Trainers) {
		return fmt.Sprintf("nonce %d after a flood, %d peers", p.Nonce, len(s.Aggs[0].machine.View().Peers))
	}
	return ""
}

// Nothing a trainer did from a validly certified start can be held against it: with a slow trainer, a lying verifier and a
// lying leader no honest trainer is convicted or accused, and what it earned is paid.
func TestNothingIsHeldAgainstAnHonestTrainer(t *testing.T) {
	play(t, Setup{Links: rough}, func(s *Sim) {
		s.Aggs[3].Conduct = Accuse
		s.Trainers[2].Delay = func(uint32) time.Duration { return 50 * time.Second }
	}, limit, live(func(s *Sim) string {
		for _, tr := range s.Trainers {
			if p := s.peer(tr.ID()); p.Convicted || p.Rounds > 0 && p.Tokens == 0 {
				return fmt.Sprintf("%s: convicted %v, %d tokens in %d rounds", s.name(tr.ID()), p.Convicted, p.Tokens, p.Rounds)
			}
		}
		return ""
	}))
}

// A trainer refuses anything less than t-of-n: a statement with t-1 signatures, with one of them twice, or with a
// stranger's in place of one.
func TestTrainerRefusesLessThanAQuorum(t *testing.T) {
	s := New(Setup{Seed: 1})
	if !s.Run(limit) {
		t.Fatal(s.where())
	}
	open := s.Aggs[0].Chain[1]
	sigs := open.Sigs[:s.council.Threshold]
	stranger := cosign(s.Trainers[0].Key, &open.Statement)
	forged := sigs[2]
	forged.Sig[5] ^= 1
	for name, set := range map[string][]protocol.Cosignature{
		"too few": sigs[:2], "twice": {sigs[0], sigs[1], sigs[1]}, "stranger": {sigs[0], sigs[1], stranger},
		"forged": {sigs[0], sigs[1], forged}, "none": nil,
	} {
		tr := &Trainer{sim: s, Key: s.Trainers[0].Key, Chain: []protocol.SignedStatement{*s.genesis}}
		tr.hear(s.Aggs[0], protocol.SignedStatement{Statement: open.Statement, Sigs: set})
		if len(tr.Chain) != 1 || tr.Refused != 1 {
			t.Errorf("%s: a trainer believes %d statements", name, len(tr.Chain)-1)
		}
	}
	tr := &Trainer{sim: s, Key: s.Trainers[0].Key, Chain: []protocol.SignedStatement{*s.genesis}}
	if tr.hear(s.Aggs[0], protocol.SignedStatement{Statement: open.Statement, Sigs: sigs}); len(tr.Chain) != 2 {
		t.Error("a trainer refuses t signatures")
	}
}

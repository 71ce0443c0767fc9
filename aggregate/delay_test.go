package aggregate_test

import (
	"errors"
	"slices"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

// delayed runs four rounds with train.delay = 1, and admits peers that train one of the world's two shards.
func delayed(s *protocol.RunSpec) { s.Train.Delay, s.Train.MinShards, s.Payout.EpochRounds = 1, 1, 1 }

// opens returns the final Opens so far.
func (p *play) opens() (out []protocol.Open) {
	p.Helper()
	for i := range p.final {
		if p.final[i].Statement.Kind != protocol.KindOpen {
			continue
		}
		o, err := protocol.DecodeBody[protocol.Open](&p.final[i].Statement)
		if err != nil {
			p.Fatal(err)
		}
		out = append(out, *o)
	}
	return out
}

// docs/protocol.md, "Delay": a round trains from the model that the Open before names, with the roster and the capacities
// that it announces; who joins trains from the round after the next Open on, who left is not waited for, and nobody is
// announced for a round that there is not.
func TestDelay(t *testing.T) {
	p := newPlay(t, delayed)
	p.must(p.w.JoinPart(0, 1, 1))
	p.join(1, 2)
	p.work()
	p.must(p.w.Join(3, 1))
	p.rounds(1, 0, 1, 2)
	p.must(p.w.Leave(1, 2))
	p.rounds(9, 0, 2, 3)
	opens := p.opens()
	if len(opens) != 4 {
		t.Fatalf("%d rounds", len(opens))
	}
	id := func(at ...int) (ids []protocol.PeerID) {
		for _, i := range at {
			ids = append(ids, p.w.Peers[i].ID())
		}
		return ids
	}
	wantRoster := [][]protocol.PeerID{id(0, 1, 2), id(0, 1, 2), id(0, 1, 2, 3), id(0, 2, 3)}
	for i, o := range opens {
		start := opens[max(i-1, 0)].Model
		if o.Start != start || i > 1 && o.Start == o.Model {
			t.Errorf("round %d trains from %s, want %s", i, o.Start.Short(), start.Short())
		}
		if !slices.Equal(o.Roster, wantRoster[i]) || len(o.Capacity) != len(o.Roster) || o.Capacity[0] != 1 {
			t.Errorf("round %d: roster of %d, capacities %v", i, len(o.Roster), o.Capacity)
		}
		next, capacity := o.Next()
		switch {
		case i == 3 && len(next) > 0:
			t.Errorf("the last round announces %d for another", len(next))
		case i < 3 && (!slices.Equal(next, opens[i+1].Roster) || !slices.Equal(capacity, opens[i+1].Capacity)):
			t.Errorf("round %d announces others than those of round %d", i, i+1)
		}
	}
	if v := p.m.View(); v.LastSettled == nil || v.LastSettled.Settlement.Epoch != 4 || len(v.Evidence) > 0 {
		t.Errorf("settled %+v, evidence %v", v.LastSettled, v.Evidence)
	}
}

// A contribution that stands on theta_r in place of the round's start is attested to, and is not in the RevealSet.
func TestDelayedStart(t *testing.T) {
	p := newPlay(t, delayed)
	p.join(0, 1, 2)
	p.rounds(2, 0, 1, 2)
	p.commit(0, 1)
	v := p.m.View()
	open := p.opens()[2]
	if v.Model != open.Model || open.From() == open.Model {
		t.Fatalf("round 2 trains from %s, the newest state is %s", open.From().Short(), v.Model.Short())
	}
	p.must(p.w.CommitOn(v, 2, "eager", v.Model, lastFeedback(p, p.w.Peers[2].ID())))
	p.work()
	set := lastSet(p, 2)
	if len(set.Set) != 2 || set.Set[0].Peer != p.w.Peers[0].ID() || set.Set[1].Peer != p.w.Peers[1].ID() {
		t.Errorf("%d contributions are in", len(set.Set))
	}
}

// lastSet returns the RevealSet of a round.
func lastSet(p *play, round uint32) *protocol.RevealSet {
	p.Helper()
	for i := range p.final {
		if st := &p.final[i].Statement; st.Kind == protocol.KindRevealSet && st.Round == round {
			set, err := protocol.DecodeBody[protocol.RevealSet](st)
			if err != nil {
				p.Fatal(err)
			}
			return set
		}
	}
	p.Fatalf("no RevealSet of round %d", round)
	return nil
}

// lastFeedback is what a peer's contribution to round 2 stands on.
func lastFeedback(p *play, id protocol.PeerID) protocol.Digest {
	for _, r := range lastSet(p, 1).Set {
		if r.Peer == id {
			return r.Feedback
		}
	}
	return protocol.Digest{}
}

// Whoever is out when its round opens is in the roster and takes no part, however fast it is.
func TestDelayedOut(t *testing.T) {
	p := newPlay(t, delayed)
	p.join(0, 1, 2, 3) // round 0 opens with the third; Open 1 announces the fourth for round 2
	p.rounds(2, 0, 1, 2, 3)
	p.must(p.w.Leave(3, 2)) // Open 2 has announced it for round 3 by now
	v := p.m.View()
	if err := p.try(p.w.Commit(v, 3, "honest")); !errors.Is(err, aggregate.ErrLate) {
		t.Errorf("commit of one who left: %v", err)
	}
	p.commit(0, 1, 2)
	p.work()
	if set := lastSet(p, 2); len(set.Set) != 3 {
		t.Errorf("%d contributions are in", len(set.Set))
	}
	if open := p.opens()[3]; !slices.Contains(open.Roster, p.w.Peers[3].ID()) || len(open.Ahead) != 0 {
		t.Errorf("round 3: roster of %d, %d announced", len(open.Roster), len(open.Ahead))
	}
}

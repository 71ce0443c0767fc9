package replica

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/protocol"
)

// inGroup waits until the leader's committed configuration gives id this part.
func (g *group) inGroup(id protocol.PeerID, want part) {
	g.t.Helper()
	ctx := g.ctx()
	for {
		l := g.leader()
		if suffrage(g.reps[l].raft.GetConfiguration().Configuration(), id) == want {
			return
		}
		select {
		case <-ctx.Done():
			g.t.Fatalf("%s never became %d", id.Short(), want)
		case <-g.reps[l].fsm.changed.wait():
		case <-g.reps[l].leadership.wait():
		case <-poll():
		}
	}
}

// In a live run one aggregator after the other is replaced by certified statements, the leader among them, by ones that
// begin with nothing: the newcomers end in the same state, and who was replaced stops by itself with a reason.
func TestReplaceAggregators(t *testing.T) {
	g := newGroup(t, false, func(s *protocol.RunSpec) { s.Train.Rounds, s.Payout.EpochRounds = 5, 5 })
	g.startNodes()
	g.begin()
	for n, spare := range g.w.Spares {
		round := 2 * uint32(n)
		g.playRound(g.anyone(), round)
		g.stopNodes()
		out := g.leader()
		if n == 0 {
			out = (out + 1) % 4
		}
		removed := g.reps[out]
		in := g.join(spare)
		g.propose(out, aggregate.ControlRecord(g.w.Control(protocol.ActionReplace, uint64(n)+1, &spare, &g.keys[out])))
		g.startNodes()
		v := g.until(g.anyone(), "train", phase(aggregate.PhaseTrain, round+1))
		for p := range 3 {
			g.propose(g.anyone(), g.w.Commit(v, p, "honest"))
		}
		select {
		case <-removed.Done():
		case <-g.ctx().Done():
			t.Fatal("the replaced one goes on")
		}
		if !errors.Is(removed.Err(), ErrRemoved) {
			t.Errorf("the replaced one stopped with %v", removed.Err())
		}
		if err := removed.Propose(g.ctx(), g.w.Join(3, 1)); !errors.Is(err, ErrRemoved) {
			t.Errorf("the replaced one proposes: %v", err)
		}
		g.stopNodes()
		g.shut(out)
		g.inGroup(spare.ID(), votes)
		g.inGroup(g.keys[out].ID(), none)
		g.propose(in, g.w.Join(0, uint64(n)+2))
		g.startNodes()
		g.until(in, "the next round", phase(aggregate.PhaseTrain, round+2))
	}
	g.stopNodes()
	g.settle()
}

// anyone returns the place of a member that is open and has not been removed.
func (g *group) anyone() int {
	return slices.IndexFunc(g.reps, func(r *Replica) bool { return r != nil && r.Err() == nil })
}

// An observer has the state and no vote, can propose nothing, and goes when the leader's configuration no longer names it.
func TestObserver(t *testing.T) {
	var admitted atomic.Pointer[[]protocol.PeerID]
	admitted.Store(new([]protocol.PeerID))
	g := newGroupWith(t, false, short, func(_ int, c *Config) {
		c.Observers = func() []protocol.PeerID { return *admitted.Load() }
	})
	observer := g.w.Peers[3]
	admitted.Store(&[]protocol.PeerID{observer.ID()})
	o := g.join(observer)
	g.startNodes()
	g.begin()
	g.inGroup(observer.ID(), reads)
	g.until(o, "the first round", phase(aggregate.PhaseTrain, 0))
	ctx, cancel := context.WithTimeout(g.ctx(), g.reps[o].cfg.Timing.Heartbeat)
	defer cancel()
	if err := g.reps[o].Propose(ctx, g.w.Join(3, 1)); err == nil {
		t.Error("an observer's proposal was taken")
	}
	g.stopNodes()
	g.settle()
	// Raft's handlers believe whoever reaches them, so an observer must not.
	for _, name := range []string{streamRaft, streamProgress, streamPropose} {
		c, err := port{g.net, observer.ID()}.OpenStream(g.ctx(), g.keys[g.leader()].ID(), name)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("an observer gets an answer on %s", name)
		}
	}
	admitted.Store(new([]protocol.PeerID))
	g.inGroup(observer.ID(), none)
}

// The time is the leader's to log: a Tick that another aggregator forwards, which could end every deadline for ever, is not taken.
func TestForwardedTickIsRefused(t *testing.T) {
	g := newGroupWith(t, false, short, nil)
	g.startNodes()
	g.begin()
	other := (g.leader() + 1) % 4
	ctx, cancel := context.WithTimeout(g.ctx(), 5*time.Second)
	defer cancel()
	if err := g.reps[other].Propose(ctx, aggregate.TickRecord(253402300799999)); err == nil {
		t.Error("a forwarded Tick was taken")
	}
}

// Whatever the group, the council and the observers are, the steps lead there in a bounded number; no step but an addition
// changes two voters at once, the voters never run out, and there are never too many observers.
func TestNextChangeArrives(t *testing.T) {
	var ids []protocol.PeerID
	for i := range 20 {
		ids = append(ids, protocol.DeriveKey(3, fmt.Sprint(i)).ID())
	}
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, least int) []protocol.PeerID {
			return rapid.Permutation(ids).Draw(t, name)[:rapid.IntRange(least, 12).Draw(t, name+" many")]
		}
		wanted, observers := some("wanted", 1), some("observers", 0)
		var c raft.Configuration
		for i, id := range some("group", 1) {
			s := raft.Voter
			if i > 0 && rapid.Bool().Draw(t, "reads") {
				s = raft.Nonvoter
			}
			c.Servers = append(c.Servers, raft.Server{ID: serverID(id), Suffrage: s})
		}
		for range 3 * len(ids) {
			step, ok := nextChange(c, wanted, observers, func(change) bool { return true })
			if !ok {
				checkArrived(t, c, wanted, observers)
				return
			}
			c = step.apply(c)
		}
		t.Fatal("does not arrive")
	})
}

// apply is what Raft does with a step.
func (s change) apply(c raft.Configuration) raft.Configuration {
	i := slices.IndexFunc(c.Servers, func(x raft.Server) bool { return x.ID == serverID(s.id) })
	switch s.op {
	case opAdd:
		c.Servers = append(c.Servers, raft.Server{ID: serverID(s.id), Suffrage: raft.Nonvoter})
	case opPromote:
		c.Servers[i].Suffrage = raft.Voter
	case opRemove:
		c.Servers = slices.Delete(c.Servers, i, i+1)
	}
	return c
}

func checkArrived(t *rapid.T, c raft.Configuration, wanted, observers []protocol.PeerID) {
	reading := 0
	for _, s := range c.Servers {
		id, err := protocol.ParsePeerID(string(s.ID))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case slices.Contains(wanted, id):
			if s.Suffrage != raft.Voter {
				t.Fatalf("%s has no vote", id.Short())
			}
		case s.Suffrage == raft.Voter || !slices.Contains(observers, id):
			t.Fatalf("%s is still there", id.Short())
		default:
			reading++
		}
	}
	if len(c.Servers)-reading != len(wanted) || reading > MaxObservers {
		t.Fatalf("%d members, %d observers; wanted %d", len(c.Servers), reading, len(wanted))
	}
}

// Who cannot get the log gets no vote and holds up nothing.
func TestNextChangeWaits(t *testing.T) {
	a, b, d := protocol.DeriveKey(3, "a").ID(), protocol.DeriveKey(3, "b").ID(), protocol.DeriveKey(3, "d").ID()
	c := raft.Configuration{Servers: []raft.Server{{ID: serverID(a)}, {ID: serverID(b), Suffrage: raft.Nonvoter}}}
	lost := func(s change) bool { return s.id != b }
	if s, ok := nextChange(c, []protocol.PeerID{a, b, d}, nil, lost); !ok || s != (change{opAdd, d}) {
		t.Errorf("%v, %v", s, ok)
	}
	if s, ok := nextChange(c, []protocol.PeerID{a, b}, nil, lost); ok {
		t.Errorf("%v", s)
	}
	if s, ok := nextChange(c, []protocol.PeerID{b}, nil, lost); ok {
		t.Errorf("the last voter goes: %v", s)
	}
}

package replica

import (
	"bytes"
	"context"
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/internal/durable"
	"drystone/protocol"
)

func short(s *protocol.RunSpec) { s.Train.Rounds, s.Payout.EpochRounds = 2, 1 }

// Four members, proposals at any of them, a whole run to the last settlement; all end in the same state, and every
// member's OnApply saw the same effects in the same order.
func TestWholeRun(t *testing.T) {
	for name, tcp := range map[string]bool{"pipes": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			g := newGroup(t, tcp, short)
			g.startNodes()
			g.begin()
			g.playRound(1, 0)
			g.playRound(2, 1)
			for i := range g.reps {
				g.until(i, "the end", func(v aggregate.View) bool {
					return v.Phase == aggregate.PhaseFinished && v.Checkpoint != nil && v.Checkpoint.Size == v.LogSize
				})
			}
			g.stopNodes()
			g.settle()
			want := snapshotOf(t, g.reps[0])
			g.mu.Lock()
			defer g.mu.Unlock()
			for i := range g.reps {
				if !bytes.Equal(snapshotOf(t, g.reps[i]), want) {
					t.Errorf("member %d has another state", i)
				}
				if !reflect.DeepEqual(g.applied[i], g.applied[0]) {
					t.Errorf("member %d applied %d effects, member 0 %d, or other ones", i, len(g.applied[i]), len(g.applied[0]))
				}
			}
			checkLeaves(t, g.applied[0])
		})
	}
}

// settle waits until every open member is in the leader's state, after all that is committed.
func (g *group) settle() {
	g.t.Helper()
	l := g.leader()
	for ctx := g.ctx(); g.reps[l].raft.Barrier(time.Minute).Error() != nil; l = g.leader() {
		if ctx.Err() != nil {
			g.t.Fatal("no leader stays")
		}
	}
	want := snapshotOf(g.t, g.reps[l])
	for i, r := range g.reps {
		if r != nil {
			g.until(i, "the leader's state", func(aggregate.View) bool { return bytes.Equal(snapshotOf(g.t, r), want) })
		}
	}
}

// checkLeaves recomputes the log's root from the effects.
func checkLeaves(t *testing.T, applied []Applied) {
	t.Helper()
	var hashes []protocol.Digest
	index := uint64(0)
	for _, a := range applied {
		if a.Index <= index || a.Effects.FirstLeaf != uint64(len(hashes)) {
			t.Fatalf("record %d after %d, leaf %d after %d", a.Index, index, a.Effects.FirstLeaf, len(hashes))
		}
		index = a.Index
		for _, l := range a.Effects.Leaves {
			hashes = append(hashes, protocol.LeafHash(l))
		}
		if a.LogSize != uint64(len(hashes)) || a.LogRoot != protocol.RootOf(hashes) {
			t.Fatalf("record %d: size %d and root %s do not follow from the leaves", a.Index, a.LogSize, a.LogRoot.Short())
		}
	}
}

// A refusal reaches the proposer with its reason, at the leader and elsewhere; a duplicate is a success.
func TestProposeTellsRefusals(t *testing.T) {
	g := newGroup(t, false, short)
	g.begin()
	for i := range g.reps {
		g.propose(i, g.w.Join(0, 1)) // there already
		err := g.reps[i].Propose(g.ctx(), g.w.Leave(3, 1))
		if !errors.Is(err, aggregate.ErrRefused) || !errors.Is(err, aggregate.ErrEarly) {
			t.Errorf("member %d: %v", i, err)
		}
		if err := g.reps[i].Propose(g.ctx(), make([]byte, aggregate.MaxRecord+1)); !errors.Is(err, protocol.ErrTooLarge) {
			t.Errorf("member %d: %v", i, err)
		}
	}
}

// The leader stops; three of four go on. It comes back from its disk and catches up.
func TestLeaderStops(t *testing.T) {
	g := newGroup(t, false, short)
	g.startNodes()
	g.begin()
	g.playRound(0, 0)
	g.idle()
	l := g.leader()
	g.stopNodes()
	g.shut(l)
	g.startNodes()
	other := (l + 1) % 4
	g.playRound(other, 1)
	g.drive(other, "the end", phase(aggregate.PhaseFinished, 2)) // the absent member's checks pass on
	g.open(l)
	g.until(l, "the end", phase(aggregate.PhaseFinished, 2))
	g.stopNodes()
	g.settle()
	if !bytes.Equal(snapshotOf(t, g.reps[l]), snapshotOf(t, g.reps[other])) {
		t.Error("the former leader has another state")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	checkLeaves(t, g.applied[l]) // its own records again, then those it missed
}

// All stop and start again in the same process and from the same directories: from the log alone, then from a snapshot
// and what follows it.
func TestRestart(t *testing.T) {
	g := newGroup(t, false, func(s *protocol.RunSpec) { s.Train.Rounds, s.Payout.EpochRounds = 3, 1 })
	for round := range uint32(3) {
		g.startNodes()
		if round == 0 {
			g.begin()
		}
		g.playRound(int(round), round)
		g.idle()
		g.stopNodes()
		g.settle()
		before := snapshotOf(t, g.reps[0])
		if round == 1 {
			for _, r := range g.reps {
				if err := r.raft.Snapshot().Error(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range g.reps {
			g.shut(i)
		}
		for i := range g.reps {
			g.open(i)
		}
		g.settle()
		for i, r := range g.reps {
			if !bytes.Equal(snapshotOf(t, r), before) {
				t.Errorf("round %d: member %d came back with another state", round, i)
			}
		}
		g.mu.Lock()
		for i := range g.reps {
			if restored := len(g.applied[i]) > 0 && g.applied[i][0].Restored; restored != (round > 0) {
				t.Errorf("round %d: member %d: first delivery restored = %v", round, i, restored)
			}
		}
		g.mu.Unlock()
	}
}

// The leader's clock, and nothing else, ends a phase in which a peer is late.
func TestTicks(t *testing.T) {
	g := newGroup(t, false, short)
	g.startNodes()
	g.begin()
	v := g.until(0, "train", phase(aggregate.PhaseTrain, 0))
	g.propose(0, g.w.Commit(v, 0, "honest"))
	v = g.until(0, "a running timer", func(v aggregate.View) bool { return v.Deadline != 0 })
	if want := g.clock.Now().Add(time.Minute).UnixMilli(); v.Deadline != want {
		t.Fatalf("deadline %d, want %d", v.Deadline, want)
	}
	g.clock.advance(time.Minute)
	g.until(0, "the next round", func(v aggregate.View) bool { return v.Round == 1 })
}

// Proposals end with their context when there is no quorum, and with ErrClosed when the replica closes.
func TestProposeEnds(t *testing.T) {
	g := newGroup(t, false, short)
	g.propose(0, g.w.Genesis())
	for i := range 2 {
		g.shut(i)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := g.reps[2].Propose(ctx, g.w.Join(0, 1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a quorum: %v", err)
	}
	r := g.reps[2]
	result := make(chan error, 1)
	go func() { result <- r.Propose(context.Background(), g.w.Join(0, 1)) }()
	g.shut(2)
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

// A second replica in the same directory is told so at once, and the first goes on.
func TestOpenLocked(t *testing.T) {
	g := newGroup(t, false, short)
	if _, err := Open(g.config(0)); !errors.Is(err, durable.ErrLocked) {
		t.Fatal(err)
	}
	g.begin()
}

func TestOpenRefuses(t *testing.T) {
	g := newGroup(t, false, short)
	for name, change := range map[string]func(*Config){
		"no directory":    func(c *Config) { c.Dir = "" },
		"no streams":      func(c *Config) { c.Streams = nil },
		"too few members": func(c *Config) { c.Members = c.Members[:3] },
		"bad machine":     func(c *Config) { c.Machine.Params = 0 },
	} {
		c := g.config(0)
		c.Dir = t.TempDir()
		change(&c)
		if _, err := Open(c); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// Streams of strangers are closed unread.
func TestStrangersAreRefused(t *testing.T) {
	g := newGroup(t, false, short)
	for _, name := range []string{streamRaft, streamPropose} {
		c, err := port{g.net, g.w.Peers[0].ID()}.OpenStream(g.ctx(), g.w.Aggs[0].ID(), name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: a stranger gets an answer", name)
		}
		c.Close()
	}
}

// Frames from members are bounded before they are believed.
func FuzzProposalFrames(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 5})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add(encodeAnswer(aggregate.NewRefusal(2, "text")))
	f.Fuzz(func(t *testing.T, data []byte) {
		if record, err := readProposal(bytes.NewReader(data)); err == nil && len(record) > aggregate.MaxRecord {
			t.Fatal("record over its limit")
		}
		readAnswer(bytes.NewReader(data))
	})
}

func TestAnswers(t *testing.T) {
	for _, err := range []error{nil, errTryAgain, aggregate.NewRefusal(2, "there"), aggregate.NewRefusal(3, "soon")} {
		got := readAnswer(bytes.NewReader(encodeAnswer(err)))
		if !reflect.DeepEqual(got, err) && !errors.Is(got, err) {
			t.Errorf("%v came back as %v", err, got)
		}
	}
	if err := readAnswer(bytes.NewReader(encodeAnswer(errBroken))); err == nil || errors.Is(err, aggregate.ErrRefused) {
		t.Errorf("a failure came back as %v", err)
	}
}

var _ net.Addr = peerAddr{}

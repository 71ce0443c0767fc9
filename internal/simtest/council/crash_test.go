package council

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// calm delays deliveries and loses none, so that the undisturbed run says what a disturbed one must give.
var calm = Links{Least: 5 * time.Millisecond, Most: 300 * time.Millisecond}

// statements are the digests of a chain.
func statements(chain []protocol.SignedStatement) (all []protocol.Digest) {
	for i := range chain {
		all = append(all, chain[i].Statement.Digest())
	}
	return all
}

// Crash at any point, the leader's or a follower's, with and without a restart: the run finishes with the statements of
// the undisturbed one (design, section 5: "Raft tolerates crashes").
func TestCrashAtAnyPoint(t *testing.T) {
	undisturbed := New(Setup{Seed: 1, Links: calm})
	if !undisturbed.Run(limit) {
		t.Fatal("the undisturbed run does not finish")
	}
	want, step := statements(undisturbed.Aggs[0].Chain), undisturbed.Events/6
	if *long {
		step = 1
	}
	for event := 1; event < undisturbed.Events; event += step {
		for _, who := range []int{0, 2} {
			for _, pause := range []time.Duration{0, 7 * time.Second} {
				s := New(Setup{Seed: 1, Links: calm})
				s.CrashAt(event, who, pause)
				if wrong := live(func(s *Sim) string { return s.sameAs(want) })(s, s.Run(limit)); wrong != "" {
					t.Fatalf("aggregator %d crashed at event %d for %s: %s", who, event, pause, wrong)
				}
			}
		}
	}
}

// sameAs wants everybody who is up to hold this chain.
func (s *Sim) sameAs(want []protocol.Digest) string {
	for _, a := range s.Aggs {
		if a.Honest() && !a.Down && !slices.Equal(statements(a.Chain), want) {
			return fmt.Sprintf("%s has another history: %s", s.name(a.ID()), s.where())
		}
	}
	for _, tr := range s.Trainers {
		if !slices.Equal(statements(tr.Chain), want) {
			return fmt.Sprintf("%s has another history", s.name(tr.ID()))
		}
	}
	return ""
}

// Two of four down stop the log, so the run stands still; it goes on when one is back.
func TestTwoCrashes(t *testing.T) {
	crash := func(pause time.Duration) func(*Sim) {
		return func(s *Sim) {
			s.CrashAt(200, 0, pause)
			s.CrashAt(200, 1, 0)
		}
	}
	play(t, Setup{}, crash(0), 5*time.Minute, stuck)
	play(t, Setup{}, crash(2*time.Minute), limit, live(nil))
}

// A partition: the side without a majority stands still, and follows when it heals. Nothing is certified twice.
func TestPartition(t *testing.T) {
	for name, alone := range map[string][]int{"leader": {0}, "follower": {3}, "halves": {0, 1}} {
		t.Run(name, func(t *testing.T) {
			play(t, Setup{}, func(s *Sim) {
				s.At(150, func() {
					s.links.Cut = func(a, b protocol.PeerID) bool { return s.within(alone, a) != s.within(alone, b) }
					s.After(40*time.Second, func() { s.links.Cut = nil })
				})
			}, limit, live(nil))
		})
	}
}

func (s *Sim) within(aggs []int, id protocol.PeerID) bool {
	return slices.ContainsFunc(aggs, func(i int) bool { return s.Aggs[i].ID() == id })
}

// Receipts bind who was killed after it gave them: when all restart and the log has lost the commit, which Raft alone would
// never do, nobody signs a Freeze without it. Without the journal of promises they would, and the judge says so.
func TestReceiptsSurviveARestart(t *testing.T) {
	for _, keep := range []bool{true, false} {
		s := New(Setup{Seed: 1, Links: calm})
		victim, lost := s.Trainers[0], false
		var watch func()
		watch = func() {
			if len(victim.made) == 0 || len(victim.receipts[victim.made[0]]) < 2 {
				s.After(10*time.Millisecond, watch)
				return
			}
			lost = find(s.Aggs[0].Chain, protocol.KindFreeze, 0) == nil
			s.lose(victim, keep)
		}
		s.After(10*time.Millisecond, watch)
		s.Run(10 * time.Minute)
		if wrong := s.Judge(); !lost || keep != (len(wrong) == 0) {
			t.Errorf("journal kept: %v, lost in time: %v, judged %q", keep, lost, wrong)
		}
	}
}

// lose takes a trainer's commits out of the log, and restarts all aggregators from that log and, if it is kept, their journal.
func (s *Sim) lose(victim *Trainer, journal bool) {
	o := s.orders[0]
	of := func(record []byte) bool {
		_, msg, err := aggregate.DecodeRecord(record)
		c, ok := msg.(*protocol.Signed[protocol.Commit])
		return err == nil && ok && c.Body.Peer == victim.ID()
	}
	o.log = slices.DeleteFunc(o.log, of)
	o.admit = func(record []byte) bool { return !of(record) }
	for _, a := range s.Aggs {
		a.Crash()
		a.snapshot, a.snapAt, a.furthest = nil, 0, 0
		if !journal {
			a.journal = nil
		}
		a.Restart()
	}
}

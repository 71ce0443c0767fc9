package replica

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"drystone/aggregate"
	"drystone/internal/faultnet"
	"drystone/protocol"
)

// With default timeouts the median time from a leader's death to the next logged record stays under 2 s, over links of
// up to 300 ms there and back. The leader falls silent, as a machine without power does: no connection is reset. Time is
// simulated; the figure failover measures processes.
func TestFailoverTime(t *testing.T) {
	for _, rtt := range []time.Duration{0, 100 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				took := failovers(t, rtt, 15)
				slices.Sort(took)
				t.Logf("median %s, p90 %s, max %s", took[len(took)/2], took[len(took)*9/10], took[len(took)-1])
				if took[len(took)/2] >= 2*time.Second {
					t.Error("the median is above 2 s")
				}
			})
		})
	}
}

// failovers silences the leader n times and returns how long a record proposed then took.
func failovers(t *testing.T, rtt time.Duration, n int) (took []time.Duration) {
	g, faults := newDistantGroup(t, rtt, 0)
	g.propose(0, g.w.Genesis())
	nonce := uint64(0)
	for range n {
		time.Sleep(10 * time.Second)
		l := slices.IndexFunc(g.reps, (*Replica).leads)
		if l < 0 {
			t.Fatal("no leader after 10 s")
		}
		var others []protocol.PeerID
		for i, k := range g.keys {
			if i != l {
				faults[i].Cut(g.keys[l].ID())
				others = append(others, k.ID())
			}
		}
		faults[l].Cut(others...)
		start := time.Now()
		nonce++
		g.propose((l+1)%4, g.w.Join(0, nonce))
		took = append(took, time.Since(start))
		for _, f := range faults {
			f.Cut()
		}
	}
	return took
}

// newDistantGroup has default timeouts, over a network that tests change. It belongs into a bubble of simulated time.
func newDistantGroup(t *testing.T, rtt time.Duration, loss float64) (*group, *[4]*faultnet.Faults) {
	t.Cleanup(func() { time.Sleep(time.Minute) }) // after the group has closed: what is still on its way
	var faults [4]*faultnet.Faults
	g := newGroupWith(t, false, short, func(i int, c *Config) {
		faults[i] = faultnet.New(uint64(i))
		faults[i].Set(rtt/2, loss)
		c.Streams = faults[i].Streams(c.Streams)
		c.Timing, c.Clock = DefaultTiming(), nil
	})
	g.limit = time.Hour
	return g, &faults
}

// With a third of the packets lost the run goes on to its end, and all members hold the same.
func TestLossyRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := newDistantGroup(t, 50*time.Millisecond, 0.3)
		start := time.Now()
		g.startNodes()
		g.begin()
		g.playRound(1, 0)
		g.playRound(2, 1)
		for i := range g.reps {
			g.until(i, "the end", phase(aggregate.PhaseFinished, 2))
		}
		t.Logf("two rounds took %s", time.Since(start))
		g.stopNodes()
		g.settle()
	})
}

// A follower that only the leader cannot reach calls no election: the others hear the leader, and say so.
func TestFalseAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, faults := newDistantGroup(t, 100*time.Millisecond, 0)
		g.propose(0, g.w.Genesis())
		l := g.leader()
		term := g.reps[l].raft.CurrentTerm()
		f := (l + 1) % 4
		faults[l].Cut(g.keys[f].ID())
		faults[f].Cut(g.keys[l].ID())
		time.Sleep(time.Minute)
		if !g.reps[l].leads() || g.reps[l].raft.CurrentTerm() != term {
			t.Errorf("the leader lost its place: term %d after %d", g.reps[l].raft.CurrentTerm(), term)
		}
		faults[l].Cut()
		faults[f].Cut()
	})
}

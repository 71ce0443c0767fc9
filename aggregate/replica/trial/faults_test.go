package trial

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"
)

// Phases that a round passes through in records of their own.
var phases = []string{"opening", "train", "freezing", "reveal", "revealing", "merge"}

// The leader is killed (SIGKILL) at the moment at which it enters each phase, under load, and comes back: with -long 50
// times over. No acknowledged record is lost, no round certified twice, and the outcome is that of the undisturbed run.
func TestKillLeader(t *testing.T) {
	sweeps, rounds := 1, uint32(40)
	if *long {
		sweeps, rounds = 50, 1500
	}
	c, ctx := start(t, rounds, nil)
	begin := time.Now()
	for n := range sweeps {
		for _, phase := range phases {
			i, err := c.KillLeaderIn(ctx, phase)
			must(t, err)
			must(t, c.Restart(ctx, i))
			must(t, c.further(ctx, 1))
		}
		t.Logf("%d leaders killed in %s", (n+1)*len(phases), time.Since(begin))
	}
	must(t, c.Finish(ctx))
	t.Logf("%d acknowledged records are in the logs of all %d members, each of %d rounds is certified once, and the outcome is the undisturbed run's",
		len(c.acked), len(c.procs), rounds)
}

// The same, with a leader that stays away for some rounds: three of four go on, and it catches up.
func TestLeaderStaysAway(t *testing.T) {
	kills, rounds := 2, uint32(40)
	if *long {
		kills, rounds = 50, 400
	}
	c, ctx := start(t, rounds, nil)
	for n := range kills {
		i, err := c.KillLeaderIn(ctx, phases[n%len(phases)])
		must(t, err)
		must(t, c.further(ctx, 2))
		must(t, c.Restart(ctx, i))
	}
	must(t, c.Finish(ctx))
}

// A crash in the middle of a write leaves half a record behind the last one in the log. The member cuts it off, and loses
// nothing that it acknowledged.
func TestTornWrite(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no raft-wal on Windows")
	}
	times, rounds := 2, uint32(40)
	if *long {
		times, rounds = 25, 400
	}
	c, ctx := start(t, rounds, nil)
	for n := range times {
		i, err := c.KillLeaderIn(ctx, phases[n%len(phases)])
		must(t, err)
		must(t, tear(c.dir(i), n))
		must(t, c.Restart(ctx, i))
		must(t, c.further(ctx, 1))
	}
	must(t, c.Finish(ctx))
}

// A time of day that is off by an hour, this way and that, in turn at every member, changes nothing.
func TestClocksJump(t *testing.T) {
	c, ctx := start(t, 30, nil)
	for n := range 8 {
		jump := time.Hour
		if n%2 == 1 {
			jump = -time.Hour
		}
		must(t, c.send(n%4, command{Jump: &jump}))
		must(t, c.further(ctx, 1))
	}
	must(t, c.Finish(ctx))
}

// A third of the packets between aggregators get lost, over some distance: slowly, the run goes on. TestLossyRun of
// package replica does so in simulated time.
func TestLoss(t *testing.T) {
	if !*long {
		t.Skip("half a minute a round; run with -long")
	}
	rounds, under := uint32(40), uint32(20)
	c, ctx := start(t, rounds, nil)
	c.Network(network{Delay: 5 * time.Millisecond, Loss: 0.3})
	_, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindPhase && e.Round >= under })
	must(t, err)
	c.Network(network{})
	must(t, c.Finish(ctx))
}

// Whatever the partition, the side with a quorum goes on and a side without one logs nothing; healed, all agree.
func TestPartitions(t *testing.T) {
	times, rounds := 1, uint32(100)
	if *long {
		times, rounds = 10, 1000
	}
	c, ctx := start(t, rounds, nil)
	for range times {
		l, err := c.Leader(ctx)
		must(t, err)
		a, b, d := (l+1)%4, (l+2)%4, (l+3)%4
		c.Network(network{}, []int{l}, []int{a, b, d}) // the leader alone: the others elect
		must(t, c.further(ctx, 2))
		c.Network(network{})
		must(t, c.further(ctx, 1))
		c.Network(network{}, []int{a}, []int{l, b, d}) // a follower alone
		must(t, c.further(ctx, 2))
		c.Network(network{}, []int{l, a}, []int{b, d}) // two and two: nobody
		quiet(ctx, t, c)
		c.Network(network{}, []int{l}, []int{a}, []int{b}, []int{d})
		quiet(ctx, t, c)
		c.Network(network{})
		must(t, c.further(ctx, 1))
	}
	must(t, c.Finish(ctx))
}

// quiet lets what was under way arrive, and then sees no phase change for longer than an election takes.
func quiet(ctx context.Context, t *testing.T, c *Council) {
	t.Helper()
	settled := func(d time.Duration) bool {
		ctx, cancel := context.WithTimeout(ctx, d)
		defer cancel()
		_, err := c.Await(ctx, func(e Event) bool { return e.Kind == kindPhase })
		return err != nil
	}
	for !settled(2 * time.Second) {
		if ctx.Err() != nil {
			t.Fatal("records are logged without a quorum")
		}
	}
	if !settled(3 * time.Second) {
		t.Error("a record was logged without a quorum")
	}
}

// A disk that fails under the log, by an fsync that loses what it was to save or by a torn write, ends the member with an
// error, be it the leader or not. The others go on. On a sound disk it comes back, with all that it acknowledged.
func TestDiskFails(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no raft-wal on Windows")
	}
	times, rounds := 1, uint32(60)
	if *long {
		times, rounds = 12, 800
	}
	c, ctx := start(t, rounds, nil)
	for range times {
		for _, how := range []string{diskSync, diskWrite} {
			for _, behind := range []int{0, 1} {
				l, err := c.Leader(ctx)
				must(t, err)
				i := (l + behind) % 4
				must(t, c.send(i, command{Disk: how}))
				must(t, c.gone(ctx, i))
				if code := c.procs[i].cmd.ProcessState.ExitCode(); code != 1 {
					t.Errorf("%s, %d behind the leader: ended with code %d: %v", how, behind, code, c.procs[i].err)
				}
				must(t, c.further(ctx, 1))
				must(t, c.Restart(ctx, i))
			}
		}
	}
	must(t, c.Finish(ctx))
}

// A full disk ends a member with an error, not with a panic and not with a lie; with room again it comes back.
func TestDiskFull(t *testing.T) {
	small := smallDisk(t, 48<<20)
	c, ctx := start(t, 100, func(o *Options) {
		o.DirOf = func(i int) string {
			if i == 1 {
				return small
			}
			return filepath.Join(o.Dir, strconv.Itoa(i))
		}
	})
	must(t, c.further(ctx, 1))
	filler := fill(t, small)
	must(t, c.gone(ctx, 1))
	if code := c.procs[1].cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("the member with the full disk ended with code %d: %v", code, c.procs[1].err)
	}
	must(t, c.further(ctx, 2))
	must(t, os.Remove(filler))
	must(t, c.Restart(ctx, 1))
	must(t, c.Finish(ctx))
}

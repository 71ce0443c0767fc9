package trial

import (
	"context"
	"testing"
	"time"
)

// Owners of shards are killed (SIGKILL) in the middle of their part of a round: when they have attested to one contribution
// of several, logged the sums of one of their shards, or the result of one. It befalls leaders and others, who come back at once, or
// stay away until others took their shards over and the round is certified. No acknowledged record is lost, no round
// certified twice, and the outcome is that of the undisturbed run (docs/adr/0015, 0023).
func TestKillOwners(t *testing.T) {
	kills, rounds := 6, uint32(14)
	if *long {
		kills, rounds = 24, 80
	}
	c, ctx := start(t, rounds, func(o *Options) { o.Shards, o.Check = 10, 86400 })
	begin := time.Now()
	for n := range kills {
		duty := []string{"gather", "sums", "shard"}[n%3]
		leads, away := n%2 == 1, (n/3+n/6)%2 == 1 // so that all combinations come in 12 kills
		round := killOwner(ctx, t, c, death{Duty: duty, Leads: leads}, away)
		t.Logf("%s: killed in %s of round %d, leads %t, stays away %t", time.Since(begin), duty, round, leads, away)
	}
	must(t, c.Finish(ctx))
}

// killOwner kills one owner, and returns in which round when it is back.
func killOwner(ctx context.Context, t *testing.T, c *Council, d death, away bool) uint32 {
	t.Helper()
	var members []int // all
	if !d.Leads {
		l, err := c.Leader(ctx)
		must(t, err)
		members = []int{(l + 1) % len(c.procs)}
	}
	e, err := c.kill(ctx, d, members...)
	must(t, err)
	if away {
		c.sendAll(command{Pass: &e.Round})
		// Its two fellow owners are not t: without a takeover the round has no end.
		_, err := c.Await(ctx, func(x Event) bool { return x.Kind == kindPhase && x.Round > e.Round })
		must(t, err)
	}
	must(t, c.Restart(ctx, e.Member))
	return e.Round
}

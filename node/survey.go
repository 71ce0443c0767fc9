package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"drystone/gossip"
	"drystone/protocol"
)

// Survey is what the way from here to a run's aggregators is like.
type Survey struct {
	Aggregators int            // of the run
	Threshold   int            // of them that must be reachable for the run to go on
	Probes      []gossip.Probe // the quickest of some to each that answered, in order of Took
	Up, Down    float64        // Mbit/s to and from the nearest; 0 if it was not measured
	Stats       gossip.Stats
}

// Pace of a survey.
const (
	probesEach  = 3
	probeFor    = 10 * time.Second
	probeBytes  = 1 << 20
	firstProbe  = 64 << 10
	quickEnough = 500 * time.Millisecond // a transfer that takes longer is measurement enough
)

// Survey measures. It takes some seconds, on a slow line half a minute, and at most 2.2 MB.
func (c *Client) Survey(ctx context.Context) Survey {
	council, _ := c.history.rules()
	s := Survey{Aggregators: len(council.Members), Threshold: council.Threshold}
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, p := range c.councilPeers() {
		all.Go(func() {
			best, ok := c.nearest(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				s.Probes = append(s.Probes, best)
			}
		})
	}
	all.Wait()
	slices.SortFunc(s.Probes, func(a, b gossip.Probe) int { return int(a.Took - b.Took) })
	if len(s.Probes) > 0 {
		near := s.Probes[0]
		s.Up = c.width(ctx, near, func(n int) (int, int) { return n, 0 })
		s.Down = c.width(ctx, near, func(n int) (int, int) { return 0, n })
	}
	s.Stats = c.host.Stats()
	return s
}

// nearest returns the quickest of some probes: the one whose clock reading is best.
func (c *Client) nearest(ctx context.Context, p protocol.PeerID) (best gossip.Probe, ok bool) {
	for range probesEach {
		ctx, cancel := context.WithTimeout(ctx, probeFor)
		r, err := c.host.Probe(ctx, p, 0, 0)
		cancel()
		if err != nil {
			c.cfg.Log.Debug("probe", "aggregator", p.Short(), "err", err)
			return best, ok
		}
		if !ok || r.Took < best.Took {
			best, ok = r, true
		}
	}
	return best, ok
}

// width measures Mbit/s one way: with little first, so that a slow line is not clogged.
func (c *Client) width(ctx context.Context, near gossip.Probe, way func(n int) (up, down int)) float64 {
	var mbit float64
	for _, n := range []int{firstProbe, probeBytes} {
		up, down := way(n)
		ctx, cancel := context.WithTimeout(ctx, probeFor)
		r, err := c.host.Probe(ctx, near.Peer, up, down)
		cancel()
		if err != nil {
			c.cfg.Log.Debug("probe", "aggregator", near.Peer.Short(), "bytes", n, "err", err)
			return mbit
		}
		mbit = 8 * float64(n) / 1e6 / max(r.Took-near.Took, time.Microsecond).Seconds()
		if r.Took > quickEnough {
			return mbit
		}
	}
	return mbit
}

// AwaitReach waits, at most for so long, until it is known whether others can reach this host, and returns what is known.
func (c *Client) AwaitReach(ctx context.Context, atMost time.Duration) gossip.Reach {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	for c.host.Stats().Reach == gossip.ReachAuto && waitFor(ctx, 200*time.Millisecond) {
	}
	return c.host.Stats().Reach
}

// Addrs returns the multiaddrs that this host announces.
func (c *Client) Addrs() []string { return c.host.Addrs() }

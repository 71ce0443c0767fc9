package gossip

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"drystone/internal/simtest/simlink"
)

// The traffic of a trainer does not grow with the number of trainers: it publishes its shards to the aggregators that own
// them, hears and forwards the statements of the round and sixteen announcements, and nothing of the other trainers' shards.
// The whole figure has 1000: go test ./gossip -run TrafficPerPeer -long
func TestTrafficPerPeerIsFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("a hundred hosts take seconds of processor time")
	}
	sizes := []int{10, 30}
	if *long {
		sizes = []int{10, 100, 1000}
	}
	var first float64
	for _, n := range sizes {
		mean, worst := trafficPerPeer(t, n)
		t.Logf("figure topic-traffic|%d peers|%.0f|the busiest peer %.0f", n, mean, worst)
		if first == 0 {
			first = mean
		}
		if mean > 1.5*first {
			t.Errorf("%.0f bytes per trainer and round with %d, and %.0f with %d", mean, n, first, sizes[0])
		}
	}
}

// trafficPerPeer returns the bytes that n trainers send and receive in a round, packets' framing included.
func trafficPerPeer(t *testing.T, n int) (mean, worst float64) {
	const shards, payload, rounds = 4, 16 << 10, 2
	inSim(t, simlink.Steady(50*time.Millisecond), func(s *sim) {
		var boot []string
		var got [shards]atomic.Int64 // different reveals that an aggregator has heard
		var control []*Topic
		for i := range shards {
			h := s.host(simlink.Line(1000, 1000), func(c *Config) { c.Peers, c.Bootstrap = 2*n+16, boot })
			boot = append(boot, h.Addrs()...)
			ear := join(s.t, h, ShardTopic(i), acceptAll).Subscription // it owns this shard
			go func() {
				seen := map[string]bool{}
				for {
					m, err := ear.Next(s.t.Context())
					if err != nil {
						return
					}
					seen[string(m.Data)] = true
					got[i].Store(int64(len(seen)))
				}
			}()
			control = append(control, join(s.t, h, TopicControl, acceptAll).Topic)
		}
		var mouths [][]*Topic
		var heard atomic.Int64
		for range n {
			h := s.host(simlink.Line(100, 20), func(c *Config) { c.Peers, c.Bootstrap = 16, boot })
			var out []*Topic
			for i := range shards {
				topic, err := h.Join(ShardTopic(i), nil)
				if err != nil {
					s.t.Fatal(err)
				}
				out = append(out, topic)
			}
			mouths = append(mouths, out)
			sub := join(s.t, h, TopicControl, acceptAll).Subscription
			go func() {
				for {
					if _, err := sub.Next(s.t.Context()); err != nil {
						return
					}
					heard.Add(1)
				}
			}()
		}
		time.Sleep(time.Minute)
		before := s.bytes()
		for round := range rounds {
			publish(s.t, control[0], fmt.Appendf(make([]byte, 2000), "Open %d", round))
			time.Sleep(10 * time.Second)
			for k, out := range mouths {
				for i, topic := range out {
					publish(s.t, topic, fmt.Appendf(make([]byte, payload), "reveal %d of %d, shard %d", round, k, i))
				}
			}
			time.Sleep(10 * time.Second)
		}
		for i := range got {
			if g := got[i].Load(); g != int64(n*rounds) {
				s.t.Errorf("aggregator %d heard %d reveals of %d", i, g, n*rounds)
			}
		}
		if h := heard.Load(); h != int64(n*rounds) {
			s.t.Errorf("trainers heard %d statements, want %d", h, n*rounds)
		}
		var each []float64
		for i, b := range s.bytes() {
			if i >= shards {
				each = append(each, float64(b-before[i])/rounds)
			}
		}
		for _, b := range each {
			mean += b / float64(n)
		}
		worst = slices.Max(each)
	})
	return mean, worst
}

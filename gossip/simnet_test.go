package gossip

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

// simulate runs test in a bubble with a network of home lines, 20 Mbit/s and 20 ms. Sleeping there takes no time; it lets the
// others go on until they too have nothing to do but wait. Hosts made by the function it gets live until test returns.
func simulate(t *testing.T, test func(t *testing.T, host func(edit func(*Config)) *Host)) {
	inSim(t, simlink.Steady(20*time.Millisecond), func(s *sim) {
		test(s.t, func(edit func(*Config)) *Host { return s.host(simlink.Line(20, 20), edit) })
	})
}

// Twenty peers that know one address each, with eight connections to aim for, so that messages need several hops: every
// message of every peer reaches all, once.
func TestTwentyPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("twenty hosts take seconds of processor time")
	}
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		const n, rounds = 20, 1
		var hosts []*Host
		var topics []joined
		for i := range n {
			h := host(func(c *Config) {
				c.Peers = 8
				if i > 0 {
					c.Bootstrap = hosts[(i-1)/2].Addrs()
				}
			})
			hosts = append(hosts, h)
			topics = append(topics, join(t, h, TopicControl, acceptAll))
		}
		time.Sleep(15 * time.Second)
		for round := range rounds {
			for i, j := range topics {
				publish(t, j.Topic, fmt.Appendf(make([]byte, 2000), "%d from %d", round, i))
			}
			time.Sleep(15 * time.Second)
		}
		for i, j := range topics {
			heard := map[string]int{}
			for range rounds * n {
				heard[string(j.next(t).Data)]++
			}
			if len(heard) != rounds*n {
				t.Errorf("host %d heard %d different messages, want %d", i, len(heard), rounds*n)
			}
			if d := len(hosts[i].Peers()); d == n-1 {
				t.Errorf("host %d is connected to all: no message needed a second hop", i)
			}
		}
	})
}

// A neighbour that forwards what must be rejected is soon not listened to; an honest one is.
func TestRejectedNeighbourIsCutOff(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		victim, liar, honest := host(nil), host(nil), host(nil)
		var judged atomic.Int64
		ear := join(t, victim, TopicCommit, func(_ context.Context, from protocol.PeerID, data []byte) Verdict {
			if from == liar.ID() {
				judged.Add(1)
			}
			if data[0] == 'x' {
				return Reject
			}
			return Accept
		})
		var mouths []*Topic
		for _, h := range []*Host{liar, honest} {
			mouth, err := h.Join(TopicCommit, nil) // no validator: it sends anything
			if err != nil {
				t.Fatal(err)
			}
			mouths = append(mouths, mouth)
			connect(t, h, victim)
			waitPeers(t, mouth, 1)
		}
		for i := range 100 {
			publish(t, mouths[0], fmt.Appendf(nil, "x%d", i))
			time.Sleep(100 * time.Millisecond)
		}
		if n := judged.Load(); n < 5 || n > 10 {
			t.Errorf("%d messages of the liar were judged before it was cut off, want 5 to 10", n)
		}
		publish(t, mouths[0], []byte("a true one, too late"))
		publish(t, mouths[1], []byte("honest"))
		time.Sleep(time.Second)
		if m := ear.next(t); m.From != honest.ID() {
			t.Errorf("heard %q", m.Data)
		}
	})
}

// A flood is cut to the neighbour's rate before validation, and does not keep others out.
func TestFloodIsBounded(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		victim := host(func(c *Config) { c.MessageRate = 10 })
		flooder, honest := host(nil), host(nil)
		var judged atomic.Int64
		ear := join(t, victim, TopicCommit, func(_ context.Context, from protocol.PeerID, data []byte) Verdict {
			if from == flooder.ID() {
				judged.Add(1)
				return Ignore
			}
			return Accept
		})
		start := time.Now()
		for _, h := range []*Host{flooder, honest} {
			mouth, err := h.Join(TopicCommit, nil)
			if err != nil {
				t.Fatal(err)
			}
			connect(t, h, victim)
			waitPeers(t, mouth, 1)
			if h == honest {
				publish(t, mouth, []byte("honest"))
				continue
			}
			for i := range 1000 {
				publish(t, mouth, fmt.Appendf(nil, "flood %d", i))
				time.Sleep(5 * time.Millisecond)
			}
		}
		if m := ear.next(t); m.From != honest.ID() {
			t.Errorf("heard %q", m.Data)
		}
		// In the fake clock this is exact: a burst of two seconds' worth and the rate from then on.
		most := int64(bucketSeconds*10 + 10*time.Since(start).Seconds())
		if n := judged.Load(); n > most || n < 20 {
			t.Errorf("%d messages of the flood were judged, want 20 to %d", n, most)
		}
		if victim.Stats().Cut == 0 {
			t.Error("nothing was cut")
		}
	})
}

// What cannot be judged yet is held for HoldFor and then dropped, within the neighbour's share of HoldBytes.
func TestHoldExpires(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		victim := host(func(c *Config) { c.HoldBytes = 12 * minHeld; c.HoldFor = 5 * time.Second })
		other := host(nil)
		join(t, victim, TopicCommit, func(context.Context, protocol.PeerID, []byte) Verdict { return Later })
		mouth, err := other.Join(TopicCommit, nil)
		if err != nil {
			t.Fatal(err)
		}
		connect(t, other, victim)
		waitPeers(t, mouth, 1)
		for i := range 10 {
			publish(t, mouth, fmt.Appendf(make([]byte, 3000), "%d", i))
		}
		time.Sleep(2 * time.Second)
		if n := victim.Stats().Held; n != 3*minHeld {
			t.Errorf("%d bytes held, want three messages: a quarter of HoldBytes", n)
		}
		time.Sleep(5 * time.Second)
		if n := victim.Stats().Held; n != 0 || len(victim.hold.perPeer) != 0 {
			t.Errorf("%d bytes held after HoldFor", n)
		}
	})
}

// A bootstrap peer that drops the connection is dialled again.
func TestBootstrapReconnects(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		first := host(nil)
		second := host(func(c *Config) { c.Bootstrap = first.Addrs() })
		time.Sleep(time.Hour)
		for range 3 {
			if len(second.Peers()) != 1 {
				t.Fatal("not connected")
			}
			if err := first.Disconnect(second.ID()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

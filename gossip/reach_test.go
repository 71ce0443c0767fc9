package gossip

import (
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"drystone/internal/simtest/simlink"
	"drystone/protocol"
)

func reach(r Reach) func(*Config) { return func(c *Config) { c.Reach = r } }

// within waits, in a fake clock, until ok.
func within(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("after %s: not %s", limit, what)
		}
	}
}

func knows(h *Host, p protocol.PeerID) bool {
	for _, id := range h.Peers() {
		if id == p {
			return true
		}
	}
	return false
}

// A link whose founder is gone and that names one live member leads to all that can be reached, and the DHT counts them.
func TestDeadLinkLivePeer(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		gone := host(reach(ReachPublic))
		addrs := gone.Addrs()
		var live []*Host
		for i := range 5 {
			live = append(live, host(func(c *Config) {
				c.Reach = ReachPublic
				if i > 0 {
					c.Bootstrap = live[i-1].Addrs()
				}
			}))
		}
		time.Sleep(2 * time.Minute)
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
		late := host(func(c *Config) { c.Reach, c.Bootstrap = ReachOut, append(addrs, live[4].Addrs()...) })
		within(t, "connected to all five", 3*time.Minute, func() bool { return len(late.Peers()) == 5 })
		within(t, "told of all five by the DHT", 3*time.Minute, func() bool { return late.Stats().Members == 5 })
		if s := late.Stats(); s.Table != 5 || s.Reach != ReachOut {
			t.Errorf("%+v, want five peers in the table", s)
		}
		if n := live[0].Stats().Table; n != 4 {
			t.Errorf("%d peers in the table of a server, want the other four: who cannot be reached must not stand there", n)
		}
	})
}

// A network that falls into two parts shows in what the DHT names: each part's members cannot reach the other's. When the line
// between them is back the parts meet again by themselves, and nothing is lost any more.
func TestTwoParts(t *testing.T) {
	inSim(t, simlink.Steady(20*time.Millisecond), func(s *sim) {
		var all []*Host
		for i := range 10 {
			all = append(all, s.host(simlink.Line(100, 100), func(c *Config) {
				c.Reach = ReachPublic
				if i > 0 {
					c.Bootstrap = all[0].Addrs()
				}
				if i > 5 {
					c.Bootstrap = all[5].Addrs() // which leads to the first
				}
			}))
		}
		within(t, "told of all nine by the DHT", 5*time.Minute, func() bool {
			return all[1].Stats().Members == 9 && all[9].Stats().Members == 9 && all[1].Stats().Away == 0
		})
		parted := func(from, to int) bool { return (from < 5) != (to < 5) }
		s.network.Cut(parted)
		within(t, "five of nine lost in either part", 10*time.Minute, func() bool {
			return all[1].Stats().Away >= 4 && all[9].Stats().Away >= 4
		})
		s.network.Cut(nil)
		within(t, "whole again", 10*time.Minute, func() bool {
			return all[1].Stats().Away == 0 && all[9].Stats().Away == 0 && len(all[9].Peers()) > 4
		})
	})
}

// A peer that has moved is found through the DHT, by its key, when its old address is dead.
func TestFindMovedPeer(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		hub := host(reach(ReachPublic))
		seeker := host(func(c *Config) { c.Reach, c.Bootstrap, c.Peers = ReachOut, hub.Addrs(), 1 })
		mover := protocol.DeriveKey(1, "mover")
		move := func(c *Config) { c.Key, c.Reach, c.Bootstrap = mover, ReachPublic, hub.Addrs() }
		before := host(move)
		old := before.Addrs()
		if err := before.Close(); err != nil {
			t.Fatal(err)
		}
		after := host(move)
		within(t, "connected to the hub", time.Minute, func() bool { return knows(hub, after.ID()) && knows(seeker, hub.ID()) })
		time.Sleep(2 * time.Minute)
		id, err := PeerIDFromProtocol(after.ID())
		if err != nil {
			t.Fatal(err)
		}
		dead, err := parseAddrs(old)
		if err != nil {
			t.Fatal(err)
		}
		seeker.lib.Network().ClosePeer(id) // lookups may have led to it already: back to knowing the dead address only
		seeker.lib.Peerstore().ClearAddrs(id)
		seeker.lib.Peerstore().AddAddrs(id, dead[0].Addrs, time.Hour)
		if err := seeker.Find(t.Context(), after.ID()); err != nil {
			t.Fatal(err)
		}
		if !knows(seeker, after.ID()) {
			t.Error("found but not connected")
		}
		err = seeker.Find(t.Context(), protocol.DeriveKey(1, "nobody").ID())
		if err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("find nobody: %v, want one line", err)
		}
	})
}

// Two peers that nobody can dial hold places at a public peer, meet through it, and replace the relayed connection by a
// direct one (circuit relay v2, DCUtR). A call works over either.
func TestRelayAndPunch(t *testing.T) {
	simulate(t, func(t *testing.T, host func(func(*Config)) *Host) {
		public := host(reach(ReachPublic))
		private := func(c *Config) { c.Reach, c.Bootstrap = ReachPrivate, public.Addrs() }
		a, b := host(private), host(private)
		for _, h := range []*Host{a, b} {
			within(t, "given a place at the relay", 2*time.Minute, func() bool { return h.Stats().Relays == 1 })
			for _, addr := range h.Addrs() {
				if !strings.Contains(addr, "/p2p-circuit") {
					t.Errorf("a private host announces %s", addr)
				}
			}
		}
		id, err := PeerIDFromProtocol(b.ID())
		if err != nil {
			t.Fatal(err)
		}
		circuit, err := parseAddrs(b.Addrs())
		if err != nil {
			t.Fatal(err)
		}
		a.lib.Network().ClosePeer(id) // they may have met before they knew that they are private
		a.lib.Peerstore().ClearAddrs(id)
		ctx := network.WithAllowLimitedConn(t.Context(), "test")
		if err := a.lib.Connect(ctx, circuit[0]); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Call(t.Context(), b.ID(), peersCall, nil, maxPeersReply); err != nil {
			t.Error(err)
		}
		within(t, "met directly after the relay", 2*time.Minute, func() bool { return a.Stats().Punched+b.Stats().Punched > 0 })
		within(t, "rid of the relayed connection", 5*time.Minute, func() bool { return a.Stats().Relayed+b.Stats().Relayed == 0 })
		if n := public.Stats().Relays; n != 0 {
			t.Errorf("the public host holds %d relays", n)
		}
	})
}

// Reach follows from the addresses where nothing else is said.
func TestReachOfConfig(t *testing.T) {
	for _, c := range []struct {
		listen, announce []string
		reach, want      Reach
	}{
		{nil, nil, "", ReachOut},
		{[]string{"/ip4/0.0.0.0/tcp/0"}, nil, "", ReachAuto},
		{[]string{"/ip4/127.0.0.1/tcp/0", "/ip6/::1/tcp/0"}, nil, ReachAuto, ReachOut},
		{nil, []string{"/dns4/example.org/tcp/4001"}, "", ReachAuto},
		{nil, nil, ReachPublic, ReachPublic},
		{nil, nil, "everywhere", ""},
	} {
		cfg, err := Config{Key: protocol.DeriveKey(1, "x"), Run: testRun, Listen: c.listen, Announce: c.announce, Reach: c.reach}.withDefaults()
		if (err != nil) != (c.want == "") || err == nil && cfg.Reach != c.want {
			t.Errorf("%+v: %q, %v", c, cfg.Reach, err)
		}
	}
}

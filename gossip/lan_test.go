package gossip

import (
	"fmt"
	"net"
	"os"
	"testing"

	"drystone/protocol"
)

// multicasts reports whether this machine has an interface on which multicast DNS can work.
func multicasts(t *testing.T) bool {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&(net.FlagUp|net.FlagMulticast|net.FlagLoopback|net.FlagRunning) != net.FlagUp|net.FlagMulticast|net.FlagRunning {
			continue
		}
		if addrs, err := i.Addrs(); err == nil && len(addrs) > 0 {
			return true
		}
	}
	return false
}

// Two members that know of nobody find each other on the local network. One that was told not to look is not found, nor is
// one of another run.
func TestFindsOnLAN(t *testing.T) {
	if !multicasts(t) {
		t.Skip("SKIPPED: no interface of this machine takes multicast")
	}
	run := protocol.Hash("lan test", fmt.Append(nil, os.Getpid())) // of no other test on this network
	on := func(run protocol.Digest, silent bool) func(*Config) {
		return func(c *Config) {
			c.Run, c.NoLAN, c.Reach, c.Listen = run, silent, ReachPrivate, []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"}
		}
	}
	a, b := newHost(t, 61, on(run, false)), newHost(t, 62, on(run, false))
	silent, stranger := newHost(t, 63, on(run, true)), newHost(t, 64, on(protocol.Hash("lan test of another run"), false))
	eventually(t, "two on one network connected", func() bool { return knows(a, b.ID()) && knows(b, a.ID()) })
	for _, h := range []*Host{a, b} {
		if knows(h, silent.ID()) || knows(h, stranger.ID()) {
			t.Errorf("found one that is not to be found: %v", h.Peers())
		}
	}
	if len(silent.Peers()) > 0 {
		t.Errorf("one that does not look has found %v", silent.Peers())
	}
}

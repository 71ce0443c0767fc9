//go:build linux

package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"drystone/node"
	"drystone/protocol"
)

// These tests run drystone on hosts of their own, made of network namespaces on one bridge that plays the Internet, with
// addresses that count as public. A home is a host behind a router: a namespace that translates addresses, lets nothing in
// that was not asked for, and sends at most 20 Mbit/s. They want root, ip, iptables and tc, and take minutes:
//
//	go test ./cmd/drystone -run Namespaces -long

// hosts is such a set of hosts.
type hosts struct {
	t    *testing.T
	name string // begins every namespace's name, so that tests of two processes do not meet
	n    int    // interfaces made
}

const internet = "net"

// newHosts makes the bridge, or skips.
func newHosts(t *testing.T) *hosts {
	t.Helper()
	if !*long {
		t.Skip("takes minutes: -long")
	}
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: making network namespaces wants root")
	}
	for _, tool := range []string{"ip", "iptables", "tc"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
	}
	h := &hosts{t: t, name: fmt.Sprintf("ds%d-", os.Getpid()%100000)}
	if out, err := exec.Command("ip", "netns", "add", h.ns(internet)).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: this system makes no network namespaces: %s", out)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", h.ns(internet)).Run() })
	h.ip(internet, "link add name bridge0 type bridge")
	h.ip(internet, "link set bridge0 up")
	return h
}

func (h *hosts) ns(host string) string { return h.name + host }

// must runs a command, its words separated by spaces.
func (h *hosts) must(line string) {
	h.t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s: %v %s", line, err, out)
	}
}

func (h *hosts) ip(host, line string) { h.t.Helper(); h.must("ip -n " + h.ns(host) + " " + line) }
func (h *hosts) in(host, line string) {
	h.t.Helper()
	h.must("ip netns exec " + h.ns(host) + " " + line)
}

// add makes a host's namespace.
func (h *hosts) add(host string) {
	h.t.Helper()
	h.must("ip netns add " + h.ns(host))
	h.t.Cleanup(func() { exec.Command("ip", "netns", "del", h.ns(host)).Run() })
	h.ip(host, "link set lo up")
}

// wire joins two hosts; each end has the given name.
func (h *hosts) wire(a, nameA, b, nameB string) {
	h.t.Helper()
	h.n++
	x, y := fmt.Sprintf("%sx%d", h.name, h.n), fmt.Sprintf("%sy%d", h.name, h.n)
	h.must("ip link add " + x + " type veth peer name " + y)
	h.must("ip link set " + x + " netns " + h.ns(a) + " name " + nameA)
	h.must("ip link set " + y + " netns " + h.ns(b) + " name " + nameB)
	h.ip(a, "link set "+nameA+" up")
	h.ip(b, "link set "+nameB+" up")
}

// public makes a host with an address on the bridge.
func (h *hosts) public(host, addr string) {
	h.t.Helper()
	h.add(host)
	h.wire(host, "eth0", internet, "to-"+host)
	h.ip(internet, "link set to-"+host+" master bridge0")
	h.ip(host, "addr add "+addr+"/24 dev eth0")
}

// home makes a host behind a router with this public address. With roaming ports the router maps every connection to a
// port of its own (RFC 4787: address and port dependent mapping), so that no hole can be punched.
func (h *hosts) home(host, addr string, roaming bool) {
	h.t.Helper()
	router := "r-" + host
	h.public(router, addr)
	h.in(router, "sysctl -qw net.ipv4.ip_forward=1")
	h.add(host)
	h.wire(host, "eth0", router, "lan")
	h.ip(router, "addr add 192.168.1.1/24 dev lan")
	h.ip(host, "addr add 192.168.1.2/24 dev eth0")
	h.ip(host, "route add default via 192.168.1.1")
	masquerade := "iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE"
	if roaming {
		masquerade += " --random-fully"
	}
	h.in(router, masquerade)
	h.in(router, "iptables -A INPUT -i eth0 -j DROP")
	h.in(router, "iptables -A FORWARD -i eth0 -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT")
	h.in(router, "iptables -A FORWARD -i eth0 -j DROP")
	h.in(router, "tc qdisc add dev eth0 root tbf rate 20mbit burst 64kb latency 200ms")
}

// council starts four aggregators on public hosts of a network; the founder is the first.
func (h *hosts) council(seed uint64, rounds, startPeers uint32) *network {
	h.t.Helper()
	// A round does not wait long for who is cut off; an opening does, for who was cut off must not be refuted for it.
	n := newNetworkOf(h.t, seed, rounds, startPeers, protocol.DeadlineSpec{Train: 20, Reveal: 10, Check: 600}, 16)
	n.place = func(name string) (prefix, flags []string) {
		prefix = []string{"ip", "netns", "exec", h.ns(name)}
		i, isAggregator := strings.CutPrefix(name, "aggregator-")
		if name == "launch" {
			prefix[3], i, isAggregator = h.ns("aggregator-0"), "0", true
		}
		if isAggregator {
			at := "/ip4/" + h.addr(i)
			flags = []string{"--listen", at + "/udp/4001/quic-v1", "--listen", at + "/tcp/4001", "--no-lan"}
		}
		return prefix, flags
	}
	for i := range 4 {
		h.public("aggregator-"+strconv.Itoa(i), h.addr(strconv.Itoa(i)))
	}
	n.begin()
	return n
}

func (h *hosts) addr(i string) string { return "11.7.0.1" + i }

// status asks from the founder's host.
func (h *hosts) status(n *network, link string) (s node.Status, err error) {
	exe, err := os.Executable()
	if err != nil {
		return s, err
	}
	cmd := exec.Command("ip", "netns", "exec", h.ns("aggregator-0"), exe, "status", link, "--json")
	cmd.Env = append(os.Environ(), asMain+"=1", "HOME="+n.dir)
	out, err := cmd.Output()
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(out, &s)
}

// until asks for the status until it is as wanted.
func (h *hosts) until(n *network, what string, ok func(node.Status) bool) node.Status {
	h.t.Helper()
	for end := time.Now().Add(3 * patience); ; {
		s, err := h.status(n, n.link)
		if err == nil && ok(s) {
			return s
		}
		if time.Now().After(end) {
			h.t.Fatalf("not in time: %s; phase %s of round %d, %v", what, s.View.Phase, s.View.Round, err)
		}
	}
}

// rounds returns how many rounds a peer's work counted in.
func rounds(s node.Status, p protocol.PeerID) uint32 {
	for _, x := range s.View.Peers {
		if x.ID == p {
			return uint32(x.Rounds)
		}
	}
	return 0
}

// says waits for a line of standard error that holds every text.
func says(t *testing.T, p *process, texts ...string) string {
	t.Helper()
	return p.awaitLine(&p.err, 3*patience, func(l string) bool {
		for _, text := range texts {
			if !strings.Contains(l, text) {
				return false
			}
		}
		return true
	}, strings.Join(texts, " ... "))
}

// Two peers behind two routers train in one run. Where the routers let it, they punch a hole and are connected directly;
// where they map every connection to another port, they meet through a relay.
func TestNamespacesRelayAndPunch(t *testing.T) {
	for _, c := range []struct {
		name    string
		seed    uint64
		roaming bool
	}{{"punch", 51, false}, {"relay", 52, true}} {
		t.Run(c.name, func(t *testing.T) {
			h := newHosts(t)
			n := h.council(c.seed, 5000, 2)
			homes := []string{"home-a", "home-b"}
			var all []*process
			for i, host := range homes {
				h.home(host, fmt.Sprintf("11.7.0.2%d", i), c.roaming)
				all = append(all, n.join(host, "-v", "--no-lan", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1"))
			}
			a, b := n.key(homes[0]).ID(), n.key(homes[1]).ID()
			says(t, all[0], "reachability", "now=private")
			says(t, all[1], "reachability", "now=private")
			met := []string{"msg=connected", "peer=" + b.String(), "relayed=true"}
			if !c.roaming {
				met = []string{"msg=connected", "peer=" + b.String(), "at=/ip4/11.7.0.21/udp/", "relayed=false"}
			}
			says(t, all[0], met...)
			before := h.until(n, "any answer", func(node.Status) bool { return true })
			h.until(n, "two more rounds with both", func(s node.Status) bool {
				return rounds(s, a) >= rounds(before, a)+2 && rounds(s, b) >= rounds(before, b)+2
			})
			for _, l := range all[0].lines(&all[0].err) {
				if c.roaming && strings.Contains(l, "msg=connected") && strings.Contains(l, b.String()) && strings.Contains(l, "relayed=false") {
					t.Errorf("a hole punched where none can be: %s", l)
				}
			}
		})
	}
}

// The line of one aggregator and one trainer is cut for at least two rounds. The others go on, the two say that they are cut
// off, and when the line is back they say so, and the trainer's work counts again.
func TestNamespacesPartition(t *testing.T) {
	h := newHosts(t)
	n := h.council(53, 5000, 2)
	for i, host := range []string{"near", "far"} {
		h.public(host, fmt.Sprintf("11.7.0.3%d", i))
	}
	stayed := n.join("near", "--no-lan")
	far := n.join("far", "--no-lan")
	near, away := n.key("near").ID(), n.key("far").ID()
	h.until(n, "both train", func(s node.Status) bool { return rounds(s, near) > 0 && rounds(s, away) > 0 })
	h.ip(internet, "link set to-aggregator-3 down")
	h.ip(internet, "link set to-far down")
	cut := h.until(n, "any answer", func(node.Status) bool { return true })
	says(t, far, "no peer of the run can be reached")
	says(t, n.aggs[3], "can be reached")
	h.until(n, "two rounds without them", func(s node.Status) bool { return s.View.Round >= cut.View.Round+2 })
	h.ip(internet, "link set to-aggregator-3 up")
	h.ip(internet, "link set to-far up")
	healed := h.until(n, "any answer", func(node.Status) bool { return true })
	says(t, far, "the network is whole again")
	says(t, n.aggs[3], "the network is whole again")
	end := h.until(n, "the trainer's work counts again", func(s node.Status) bool { return rounds(s, away) > rounds(healed, away)+1 })
	for _, p := range []*process{stayed, far} {
		if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		p.wait(exitInterrupted)
	}
	for _, p := range n.aggs {
		p.stop()
	}
	aggregators := []string{"launch", "aggregator-1", "aggregator-2", "aggregator-3"}
	n.sameState(aggregators, cut.View.Round+1, cut.View.Round+2)
	n.sameState(append(aggregators, "near", "far"), healed.View.Round+1, end.View.Round+1)
}

// sameState exports the model from data directories at the newest of some rounds that all of them hold, and wants one digest.
func (n *network) sameState(dirs []string, first, last uint32) {
	n.t.Helper()
next:
	for round := last; round >= first; round-- {
		digests := map[[32]byte][]string{}
		for _, dir := range dirs {
			out := filepath.Join(n.t.TempDir(), "model")
			if code, _, errOut := command(n.t, "export", filepath.Join(n.file(dir), "data"), "--round", fmt.Sprint(round), "-o", out); code != 0 {
				n.t.Logf("round %d: %s: %s", round, dir, errOut)
				continue next
			}
			model, err := os.ReadFile(filepath.Join(out, "model.safetensors"))
			if err != nil {
				n.t.Fatal(err)
			}
			d := sha256.Sum256(model)
			digests[d] = append(digests[d], dir)
		}
		if len(digests) != 1 {
			n.t.Errorf("round %d: %d states: %v", round, len(digests), digests)
		}
		return
	}
	n.t.Errorf("no round from %d to %d whose state %v all hold", first, last, dirs)
}

// A peer whose address changes goes on under the new one.
func TestNamespacesAddressChange(t *testing.T) {
	h := newHosts(t)
	n := h.council(54, 5000, 1)
	h.public("mover", "11.7.0.40")
	n.join("mover", "--no-lan", "--listen", "/ip4/0.0.0.0/udp/4001/quic-v1")
	mover := n.key("mover").ID()
	before := h.until(n, "it trains", func(s node.Status) bool { return rounds(s, mover) > 0 })
	h.ip("mover", "addr del 11.7.0.40/24 dev eth0") // first: with the primary address the others of its network go
	h.ip("mover", "addr add 11.7.0.41/24 dev eth0")
	h.until(n, "three more rounds after the move", func(s node.Status) bool { return rounds(s, mover) >= rounds(before, mover)+3 })
}

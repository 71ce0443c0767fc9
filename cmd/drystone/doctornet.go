package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"drystone/gossip"
	"drystone/node"
	"drystone/protocol"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// reachFor is how long the doctor waits for neighbours to say whether they can dial this machine: AutoNAT waits 15 s
// before its first attempt.
const reachFor = 45 * time.Second

// Where a number becomes a finding.
const (
	clockWarn = 2 * time.Second
	slowUp    = 2.0 // Mbit/s
	slowDown  = 5.0
)

// examineListen tries the addresses, without any network.
func examineListen(listen, announce []string) finding {
	f := finding{Name: "listen", State: well}
	key, err := protocol.GenerateKey()
	if err != nil {
		return finding{"listen", bad, err.Error(), "the system gives no random numbers"}
	}
	h, err := gossip.New(gossip.Config{Key: key, Run: protocol.Hash("drystone doctor"), Listen: listen, Announce: announce, NoLAN: true, Reach: gossip.ReachOut})
	if err != nil {
		return finding{"listen", bad, oneLine(err), "stop the process that holds the port, or choose another with --listen"}
	}
	defer h.Close()
	var addrs []string
	for _, a := range h.Addrs() {
		addrs = append(addrs, strings.TrimSuffix(a, "/p2p/"+key.ID().String()))
	}
	if len(listen) == 0 {
		f.Found = "loopback only: this machine opens connections, and nobody can open one to it"
		f.Advice = "enough to train; --listen /ip4/0.0.0.0/udp/4001/quic-v1 --listen /ip4/0.0.0.0/tcp/4001 lets other peers fetch from it"
		return f
	}
	f.Found = strings.Join(addrs, " ")
	return f
}

// examineRun looks at the run from here.
func (c *doctorCmd) examineRun(ctx context.Context, t *terminal, link gossip.Link) ([]finding, *protocol.RunSpec) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout+reachFor)
	defer cancel()
	client, err := node.DialFrom(ctx, link, node.Config{Listen: c.Listen, Announce: c.Announce, Peers: c.Peer, Log: t.log})
	if err != nil {
		return []finding{{"run", bad, oneLine(err), "ask for a current run link; check that this machine may open connections to its addresses; name a known member with --peer"}}, nil
	}
	defer client.Close()
	s := client.Survey(ctx)
	found := []finding{runFinding(s), natFinding(s.Probes, client.AwaitReach(ctx, reachFor), c.Announce), clockFinding(s.Probes)}
	return append(found, bandFindings(s)...), client.Spec()
}

func runFinding(s node.Survey) finding {
	f := finding{Name: "run", State: well, Found: fmt.Sprintf("%d of %d aggregators answer, %d are needed", len(s.Probes), s.Aggregators, s.Threshold)}
	if len(s.Probes) > 0 {
		f.Found += fmt.Sprintf("; the nearest in %s", short(s.Probes[0].Took))
	}
	switch {
	case len(s.Probes) < s.Threshold:
		f.State, f.Advice = bad, "the run cannot go on for this machine: check its network, and ask the others whether they see the same"
	case len(s.Probes) < s.Aggregators:
		f.State, f.Advice = warn, "the run goes on without the others; if they are up elsewhere, a firewall may be between"
	}
	return f
}

// natFinding tells what stands between this machine and the others: from the addresses that aggregators see it at, and
// what AutoNAT found out.
func natFinding(probes []gossip.Probe, reach gossip.Reach, announce []string) finding {
	var seen []string
	far := false
	mapped := map[string]map[string]bool{} // own address without the port, to ports seen
	for _, p := range probes {
		a, err := ma.NewMultiaddr(p.Seen)
		if err != nil {
			continue
		}
		far = far || !manet.IsIPLoopback(a)
		if !slices.Contains(seen, p.Seen) {
			seen = append(seen, p.Seen)
		}
		if host, port := udpOf(a); port != "" {
			if mapped[host] == nil {
				mapped[host] = map[string]bool{}
			}
			mapped[host][port] = true
		}
	}
	f := finding{Name: "nat", State: well, Found: "seen at " + strings.Join(seen, ", ")}
	kind := natKind(mapped, probes)
	switch {
	case len(seen) == 0:
		f.State, f.Found, f.Advice = warn, "no aggregator says where it sees this machine", "see \"run\""
	case !far:
		f.Found += "; the run is on this machine"
	case reach == gossip.ReachPublic:
		f.Found += "; reachable from outside (AutoNAT)"
	case reach == gossip.ReachOut:
		f.Found += "; not offered: it listens on loopback only"
	case reach == gossip.ReachPrivate && kind == "symmetric":
		f.State, f.Found = warn, f.Found+"; not reachable, and the router maps each connection to another port: holes cannot be punched"
		f.Advice = "relays serve small transfers; forward a port of the router and name it with --announce to be reached"
	case reach == gossip.ReachPrivate:
		f.State, f.Found = warn, f.Found+"; not reachable directly; "+kind
		f.Advice = "relays and punched holes serve; forwarding a port of the router and --announce is faster"
	default:
		f.State, f.Found = warn, f.Found+"; no neighbour has said yet whether it can dial this machine"
		f.Advice = "listen with QUIC and TCP on a public address, or go on: what is needed is found out while training"
	}
	if far && reach != gossip.ReachPublic && len(announce) > 0 {
		f.Advice = "nobody could dial what --announce names: check the router's forwarding"
	}
	return f
}

// natKind compares the ports that several peers see one UDP socket at (RFC 4787, section 4.1).
func natKind(mapped map[string]map[string]bool, probes []gossip.Probe) string {
	if len(probes) < 2 || len(mapped) == 0 {
		return "too few aggregators see it over QUIC to tell the router's kind"
	}
	for _, ports := range mapped {
		if len(ports) > 1 {
			return "symmetric"
		}
	}
	return "the router keeps one port for all destinations: holes can be punched"
}

func udpOf(a ma.Multiaddr) (host, port string) {
	n, err := manet.ToNetAddr(firstTwo(a))
	if err != nil || n.Network() != "udp" {
		return "", ""
	}
	host, port, _ = net.SplitHostPort(n.String())
	return host, port
}

// firstTwo cuts a multiaddr behind its port.
func firstTwo(a ma.Multiaddr) ma.Multiaddr { return a[:min(len(a), 2)] }

func clockFinding(probes []gossip.Probe) finding {
	if len(probes) == 0 {
		return finding{"clock", warn, "nobody to compare with", "see \"run\""}
	}
	offsets := make([]time.Duration, len(probes))
	for i, p := range probes {
		offsets[i] = -p.Offset
	}
	slices.Sort(offsets)
	off, sure := offsets[len(offsets)/2], probes[0].Took/2
	f := finding{Name: "clock", State: well, Found: fmt.Sprintf("%s ahead of the median of %d aggregators, give or take %s", short(off), len(probes), short(sure))}
	if off < 0 {
		f.Found = strings.Replace(strings.TrimPrefix(f.Found, "-"), "ahead of", "behind", 1)
	}
	if off.Abs()-sure > clockWarn {
		f.State, f.Advice = warn, "the protocol needs no clock, but logs are hard to compare: switch on time synchronisation (NTP)"
	}
	return f
}

func bandFindings(s node.Survey) []finding {
	way := func(name string, mbit, slow float64, flag string) finding {
		f := finding{Name: name, State: well, Found: fmt.Sprintf("%.1f Mbit/s", mbit)}
		switch {
		case mbit == 0:
			f.State, f.Found, f.Advice = warn, "not measured: no aggregator took part", "try again in a minute"
		case mbit < slow:
			f.State, f.Advice = warn, fmt.Sprintf("below %.0f Mbit/s rounds may end before your update is there: use a wire, or %s", slow, flag)
		}
		return f
	}
	return []finding{way("upload", s.Up, slowUp, "train fewer shards with --shards"), way("download", s.Down, slowDown, "keep the data directory between starts")}
}

// short shows a time in three digits or so.
func short(d time.Duration) string {
	switch a := d.Abs(); {
	case a < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case a < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

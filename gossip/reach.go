package gossip

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Reach says how others can open a connection to a host.
type Reach string

// Ways to be reached. As Config.Reach, ReachAuto means ReachOut for a host that listens on loopback only, and otherwise
// what neighbours find out by dialling back (AutoNAT). As Stats.Reach, ReachAuto means that it is not known yet.
const (
	ReachAuto    Reach = "auto"
	ReachPublic  Reach = "public"  // at its announced addresses: it serves the DHT, relays and tells others how they are reached
	ReachPrivate Reach = "private" // not directly: it asks public peers to relay, and tries to punch holes
	ReachOut     Reach = "out"     // not at all: it only opens connections
)

// What a public host gives as a relay (circuit relay v2): enough to meet, to punch a hole, and to fetch a small blob where
// that fails; not enough to live on.
const (
	relayPlaces      = 64               // reservations
	relayPlacesPerIP = 8                // a home or a laboratory
	relayCircuits    = 4                // open connections of one reservation
	relayBytes       = 16 << 20         // bytes each way before a connection is cut
	relayTime        = 10 * time.Minute // after which it is cut
	relaysWanted     = 2                // reservations that a private host holds
)

// reaching is what a host knows about how it is reached.
type reaching struct {
	now     atomic.Value  // Reach
	punched atomic.Uint64 // holes punched since the host started
	failed  atomic.Uint64 // holes that could not be punched
}

func (r *reaching) get() Reach {
	v, _ := r.now.Load().(Reach)
	return v
}

// resolve replaces ReachAuto where the addresses say enough.
func (cfg *Config) resolveReach() error {
	switch cfg.Reach {
	case "":
		cfg.Reach = ReachAuto
	case ReachAuto, ReachPublic, ReachPrivate, ReachOut:
	default:
		return fmt.Errorf("gossip: Config.Reach is %q, want auto, public, private or out", clip(string(cfg.Reach)))
	}
	if cfg.Reach == ReachAuto && cfg.onlyLoopback() {
		cfg.Reach = ReachOut
	}
	return nil
}

// onlyLoopback reports whether nobody on another machine can reach the host.
func (cfg *Config) onlyLoopback() bool {
	if len(cfg.Announce) > 0 {
		return false
	}
	for _, s := range cfg.Listen {
		if a, err := ma.NewMultiaddr(s); err == nil && !manet.IsIPLoopback(a) {
			return false
		}
	}
	return true
}

// reachOptions are libp2p's for NAT traversal. Every host can dial through a relay; the rest is for those that others may
// reach. source finds relays once the host exists.
func reachOptions(cfg Config, source autorelay.PeerSource, trace holepunch.EventTracer) []libp2p.Option {
	opts := []libp2p.Option{libp2p.EnableRelay()}
	if cfg.Reach == ReachOut || cfg.onlyLoopback() {
		return append(opts, libp2p.DisableIdentifyAddressDiscovery())
	}
	opts = append(opts, libp2p.EnableHolePunching(holepunch.WithTracer(trace)))
	resources := relay.Resources{
		Limit: &relay.RelayLimit{Duration: relayTime, Data: relayBytes}, ReservationTTL: time.Hour,
		MaxReservations: relayPlaces, MaxCircuits: relayCircuits, BufferSize: 16 << 10,
		MaxReservationsPerIP: relayPlacesPerIP, MaxReservationsPerASN: relayPlaces,
	}
	opts = append(opts, libp2p.EnableRelayService(relay.WithResources(resources))) // runs while the host is public
	if cfg.Reach != ReachPrivate && !cfg.simulated() {                             // a simulated network has no second socket to dial back from
		opts = append(opts, libp2p.EnableNATService(), libp2p.AutoNATServiceRateLimit(60, 6, time.Minute))
	}
	switch cfg.Reach {
	case ReachPublic:
		return append(opts, libp2p.ForceReachabilityPublic(), libp2p.DisableIdentifyAddressDiscovery())
	case ReachPrivate:
		opts = append(opts, libp2p.ForceReachabilityPrivate())
	}
	return append(opts, libp2p.EnableAutoRelayWithPeerSource(source, autorelay.WithNumRelays(relaysWanted),
		autorelay.WithMinCandidates(1), autorelay.WithBootDelay(5*time.Second), autorelay.WithMinInterval(5*time.Second),
		autorelay.WithBackoff(time.Minute)))
}

// relays offers connected peers that relay.
func (h *Host) relays(ctx context.Context, n int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, n)
	go func() {
		defer close(out)
		select {
		case <-h.started: // libp2p may ask before New has the host
		case <-ctx.Done():
			return
		}
		for _, id := range h.lib.Network().Peers() {
			protos, err := h.lib.Peerstore().SupportsProtocols(id, circuit.ProtoIDv2Hop)
			if err == nil && len(protos) > 0 && h.lib.Network().Connectedness(id) == network.Connected && len(out) < n {
				out <- h.lib.Peerstore().PeerInfo(id)
			}
		}
	}()
	return out
}

// Trace is called by libp2p's hole punching service.
func (r *reaching) Trace(e *holepunch.Event) {
	switch end := e.Evt.(type) {
	case *holepunch.EndHolePunchEvt:
		if end.Success {
			r.punched.Add(1)
		} else {
			r.failed.Add(1)
		}
	case *holepunch.DirectDialEvt:
		if end.Success {
			r.punched.Add(1)
		}
	}
}

// watchReach returns a function that follows what AutoNAT finds out until the host closes.
func (h *Host) watchReach() (func(), error) {
	h.reach.now.Store(h.cfg.Reach)
	sub, err := h.lib.EventBus().Subscribe(new(event.EvtLocalReachabilityChanged), eventbus.BufSize(16))
	if err != nil {
		return nil, fmt.Errorf("gossip: reachability: %w", err)
	}
	return func() {
		defer sub.Close()
		for {
			select {
			case <-h.ctx.Done():
				return
			case e := <-sub.Out():
				if e, ok := e.(event.EvtLocalReachabilityChanged); ok && h.cfg.Reach == ReachAuto {
					r := map[network.Reachability]Reach{network.ReachabilityPublic: ReachPublic, network.ReachabilityPrivate: ReachPrivate}[e.Reachability]
					if r == "" {
						r = ReachAuto
					}
					h.reach.now.Store(r)
					h.cfg.Logger.Info("reachability", "now", r)
					h.lookAgain()
				}
			}
		}
	}, nil
}

// relayed reports whether a connection goes through a relay.
func relayed(c network.Conn) bool {
	return strings.Contains(c.RemoteMultiaddr().String(), "/p2p-circuit")
}

// watchLinks logs how each peer is reached.
func (h *Host) watchLinks() network.Notifiee {
	return &network.NotifyBundle{
		ConnectedF: func(_ network.Network, c network.Conn) {
			h.cfg.Logger.Info("connected", "peer", c.RemotePeer(), "at", c.RemoteMultiaddr(), "direction", c.Stat().Direction, "relayed", relayed(c))
		},
		DisconnectedF: func(network.Network, network.Conn) { h.lookAgain() },
	}
}

// reachStats fills in what discovery and reach count.
func (h *Host) reachStats(s *Stats) {
	s.Reach, s.Punched, s.Unpunched = h.reach.get(), h.reach.punched.Load(), h.reach.failed.Load()
	for _, id := range h.lib.Network().Peers() {
		if h.lib.Network().Connectedness(id) == network.Limited {
			s.Relayed++
		}
	}
	via := map[string]bool{}
	for _, a := range h.lib.Addrs() {
		if relay, _, ok := strings.Cut(a.String(), "/p2p-circuit"); ok {
			_, id, _ := strings.Cut(relay, "/p2p/")
			via[id] = true
		}
	}
	s.Relays = len(via)
	s.Members, s.Away = int(h.finder.members.Load()), int(h.finder.lost.Load())
	s.Table, s.Known = h.finder.dht.RoutingTable().Size(), h.saved.size()
}

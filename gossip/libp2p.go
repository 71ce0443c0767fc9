package gossip

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
)

// newLibp2p builds a host that listens nowhere yet. Only TCP (noise, yamux) and QUIC are compiled in: fewer
// transports, fewer goroutines, less to attack.
func newLibp2p(cfg Config, reach []libp2p.Option) (host.Host, error) {
	priv, err := identity(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("gossip: %w", err)
	}
	limits, err := resourceManager(cfg.Peers)
	if err != nil {
		return nil, fmt.Errorf("gossip: resource limits: %w", err)
	}
	// Twice the aim before trimming, so that a newcomer can be heard; a young connection is not trimmed.
	conns, err := connmgr.NewConnManager(cfg.Peers, 2*cfg.Peers, connmgr.WithGracePeriod(30*time.Second))
	if err != nil {
		return nil, fmt.Errorf("gossip: connection manager: %w", err)
	}
	opts := []libp2p.Option{
		libp2p.Identity(priv),
		libp2p.NoListenAddrs,
		libp2p.UserAgent("drystone/1"),
		libp2p.ResourceManager(limits),
		libp2p.ConnectionManager(conns),
		libp2p.ConnectionGater(gater{}),
		libp2p.DisableMetrics(),
		libp2p.WithDialTimeout(dialTimeout),
		libp2p.Transport(quic.NewTransport),
	}
	opts = append(opts, reach...)
	if cfg.Network == nil {
		// Reuse of the TCP port would let two processes listen on one without an error.
		opts = append(opts,
			libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()),
			libp2p.Security(noise.ID, noise.New),
			libp2p.Muxer(yamux.ID, yamux.DefaultTransport))
	}
	if len(cfg.Announce) > 0 {
		announced, err := parseMultiaddrs(cfg.Announce)
		if err != nil {
			return nil, fmt.Errorf("gossip: announce: %w", err)
		}
		opts = append(opts, libp2p.AddrsFactory(func([]ma.Multiaddr) []ma.Multiaddr { return announced }))
	}
	if cfg.Network != nil {
		opts = append(opts, cfg.Network)
	}
	lib, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("gossip: start libp2p: %w", oneLine(err))
	}
	return lib, nil
}

func parseMultiaddrs(addrs []string) ([]ma.Multiaddr, error) {
	var out []ma.Multiaddr
	for _, s := range addrs {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no multiaddr: %w", clip(s), err)
		}
		out = append(out, a)
	}
	return out, nil
}

// resourceManager bounds connections, streams, memory and file descriptors, whatever the machine has.
func resourceManager(peers int) (network.ResourceManager, error) {
	shaking := max(64, peers/4) // handshakes under way
	limits := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(4*peers + 64), ConnsInbound: rcmgr.LimitVal(3*peers + 32), ConnsOutbound: rcmgr.LimitVal(3*peers + 32),
			Streams: rcmgr.LimitVal(64*peers + 1024), StreamsInbound: rcmgr.LimitVal(32*peers + 512), StreamsOutbound: rcmgr.LimitVal(32*peers + 512),
			FD: rcmgr.LimitVal(4*peers + 64), Memory: 1 << 30,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(shaking + 64), ConnsInbound: rcmgr.LimitVal(shaking), ConnsOutbound: 96,
			Streams: 512, StreamsInbound: 256, StreamsOutbound: 384, FD: rcmgr.LimitVal(shaking + 32), Memory: 128 << 20,
		},
		PeerDefault: rcmgr.ResourceLimits{
			Conns: 8, ConnsInbound: 6, ConnsOutbound: 6, Streams: 256, StreamsInbound: 128, StreamsOutbound: 192,
			FD: 8, Memory: 128 << 20,
		},
	}
	// A home or a laboratory puts many peers behind one address.
	subnet4 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: 64}}
	subnet6 := []rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: 64}, {PrefixLength: 48, ConnCount: 256}}
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.DefaultLimits.Scale(1<<30, 4096))),
		rcmgr.WithLimitPerSubnet(subnet4, subnet6), rcmgr.WithMetricsDisabled())
}

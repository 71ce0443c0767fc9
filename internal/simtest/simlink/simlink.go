// Package simlink is a network in one process: hosts of libp2p that speak real QUIC over links with a bandwidth and a delay, in
// the fake clock of testing/synctest. Hours of it pass in as long as the hosts compute.
//
//	network := simlink.New(simlink.Steady(50 * time.Millisecond))
//	defer network.Close()
//	at := network.Join(simlink.Line(100, 20)) // at.Listen and at.Option are for gossip.Config
package simlink

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// Network is a simulated network. It is safe for concurrent use. Make it and close it in the same bubble.
type Network struct {
	net *simnet.Simnet

	cut atomic.Pointer[func(from, to int) bool]

	mu sync.Mutex
	n  int
}

// New starts a network. latency is the way from one host to another, both numbered in the order in which they joined.
func New(latency func(from, to int) time.Duration) *Network {
	n := &Network{net: &simnet.Simnet{LatencyFunc: func(p *simnet.Packet) time.Duration {
		return latency(number(p.From), number(p.To))
	}}}
	n.net.Start()
	return n
}

// Steady is the same latency between all hosts.
func Steady(d time.Duration) func(from, to int) time.Duration {
	return func(int, int) time.Duration { return d }
}

// Cut drops every packet between two hosts for which parted is true, until the next Cut; nil lets all pass.
func (n *Network) Cut(parted func(from, to int) bool) {
	if parted == nil {
		n.cut.Store(nil)
		return
	}
	n.cut.Store(&parted)
}

// number is the inverse of simnet.IntToPublicIPv4 for the addresses that Join gives out.
func number(a net.Addr) int {
	ip := a.(*net.UDPAddr).IP.To4()
	return int(ip[1])<<16 | int(ip[2])<<8 | int(ip[3])
}

// Close ends all links. Close the hosts before.
func (n *Network) Close() { n.net.Close() }

// Line is an access line with rates in Mbit/s.
func Line(down, up float64) simnet.NodeBiDiLinkSettings {
	return simnet.NodeBiDiLinkSettings{
		Downlink: simnet.LinkSettings{BitsPerSecond: int(down * 1e6)},
		Uplink:   simnet.LinkSettings{BitsPerSecond: int(up * 1e6)},
	}
}

// Place is where a host is on the network.
type Place struct {
	Number int
	Listen []string      // the address to listen on
	Option libp2p.Option // QUIC over the network, in place of the real one
	Bytes  *atomic.Int64 // of all packets that the host has sent and received
	Wire   *Wire
}

// Wire counts a host's packets as they are on the wire, IPv4 and UDP headers included.
type Wire struct{ Sent, Received atomic.Int64 }

// headers is what IPv4 and UDP add to a packet.
const headers = 20 + 8

// Join makes a place for one host. A host that is restarted needs a new one.
func (n *Network) Join(line simnet.NodeBiDiLinkSettings) Place {
	n.mu.Lock()
	i := n.n
	n.n++
	n.mu.Unlock()
	ip := net.IPv4(11, byte(i>>16), byte(i>>8), byte(i))
	bytes, wire := new(atomic.Int64), new(Wire)
	return Place{Number: i, Listen: []string{fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", ip)}, Option: n.option(i, line, bytes, wire), Bytes: bytes, Wire: wire}
}

func (n *Network) option(i int, line simnet.NodeBiDiLinkSettings, bytes *atomic.Int64, wire *Wire) libp2p.Option {
	var own atomic.Pointer[net.IP]
	start := func(life fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		cm, err := quicreuse.NewConnManager(reset, token, opts...)
		if err == nil {
			life.Append(fx.StopHook(cm.Close)) // libp2p closes only a manager that it made itself
		}
		return cm, err
	}
	return libp2p.QUICReuse(start,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return sourceIP{&own}, nil }),
		quicreuse.OverrideListenUDP(func(_ string, addr *net.UDPAddr) (net.PacketConn, error) {
			own.Store(&addr.IP)
			n.mu.Lock() // simnet's own list of links is not guarded
			defer n.mu.Unlock()
			return counted{n.net.NewEndpoint(addr, line), bytes, wire, n, i}, nil
		}))
}

// counted counts the bytes of a host's packets, and drops those that are cut off.
type counted struct {
	*simnet.SimConn
	bytes *atomic.Int64
	wire  *Wire
	on    *Network
	from  int
}

func (c counted) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := c.SimConn.ReadFrom(p)
	c.bytes.Add(int64(n))
	c.wire.Received.Add(int64(n) + headers)
	return n, from, err
}

func (c counted) WriteTo(p []byte, to net.Addr) (int, error) {
	if parted := c.on.cut.Load(); parted != nil && (*parted)(c.from, number(to)) {
		return len(p), nil
	}
	n, err := c.SimConn.WriteTo(p, to)
	c.bytes.Add(int64(n))
	c.wire.Sent.Add(int64(n) + headers)
	return n, err
}

type sourceIP struct{ own *atomic.Pointer[net.IP] }

func (s sourceIP) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	return *s.own.Load(), nil
}

// Size returns the number of places given out.
func (n *Network) Size() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.n
}

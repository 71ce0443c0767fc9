package gossip

import (
	"encoding/hex"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
)

// lan finds members of the run on the local network by multicast DNS (libp2p's mDNS specification), under the service
// _ds-XXXXXXXX._udp with the first four bytes of the RunID. It tells everyone on that network the host's addresses, and so
// runs only where the host listens beyond loopback and Config.NoLAN is unset.
type lan struct {
	h     *Host
	found chan peer.AddrInfo // what comes faster than it is dialled is dropped: it is announced again
}

// startLAN starts the service, or says in the log why there is none; a machine without multicast is no failure.
func (h *Host) startLAN() {
	if h.cfg.NoLAN || h.cfg.Reach == ReachOut || h.cfg.onlyLoopback() || h.cfg.simulated() {
		return
	}
	l := &lan{h: h, found: make(chan peer.AddrInfo, 16)}
	service := mdns.NewMdnsService(h.lib, "_ds-"+hex.EncodeToString(h.cfg.Run[:4])+"._udp", l)
	if err := service.Start(); err != nil {
		h.cfg.Logger.Info("no discovery on the local network", "err", oneLine(err))
		return
	}
	h.tasks.Go(func() {
		defer service.Close()
		for {
			select {
			case <-h.ctx.Done():
				return
			case info := <-l.found:
				if len(h.lib.Network().Peers()) < h.cfg.Peers {
					h.dial([]peer.AddrInfo{info})
				}
			}
		}
	})
}

// HandlePeerFound is called by the service. Who it is the handshake tells; that it is of this run, its protocols do.
func (l *lan) HandlePeerFound(info peer.AddrInfo) {
	info.Addrs = boundAddrs(info.Addrs)
	if info.ID == l.h.lib.ID() || l.h.lib.Network().Connectedness(info.ID) == network.Connected {
		return
	}
	select {
	case l.found <- info:
	default:
	}
}

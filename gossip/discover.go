package gossip

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"drystone/protocol"
)

// Pace and reach of discovery.
const (
	firstExchange    = 500 * time.Millisecond // doubled up to lastExchange while nothing happens
	lastExchange     = 30 * time.Second
	askPerRound      = 3 // neighbours asked
	dialPerRound     = 8 // newcomers dialled
	protectBootstrap = "drystone-bootstrap"
)

// parseAddrs parses multiaddrs and gathers those of one peer.
func parseAddrs(addrs []string) ([]peer.AddrInfo, error) {
	var out []peer.AddrInfo
next:
	for _, s := range addrs {
		info, err := parseAddr(s)
		if err != nil {
			return nil, err
		}
		for i := range out {
			if out[i].ID == info.ID {
				out[i].Addrs = append(out[i].Addrs, info.Addrs...)
				continue next
			}
		}
		out = append(out, info)
	}
	return out, nil
}

// lookAgain starts a round of discovery soon.
func (h *Host) lookAgain() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// discover keeps the bootstrap peers connected and looks for more neighbours until there are half of Config.Peers. It
// runs until Close.
func (h *Host) discover(boot []peer.AddrInfo) {
	for _, b := range boot {
		h.lib.ConnManager().Protect(b.ID, protectBootstrap)
	}
	pause := firstExchange
	for {
		h.dial(boot)
		if len(h.lib.Network().Peers()) < (h.cfg.Peers+1)/2 {
			h.dial(h.exchange())
		}
		if len(h.lib.Network().Peers()) < (h.cfg.Peers+1)/2 {
			h.dialBook()
		}
		h.saved.save()
		ended := time.Now()
		timer := time.NewTimer(pause/2 + rand.N(pause)) // so that peers of one that was away do not all come back at once
		for waiting := true; waiting; {
			select {
			case <-h.ctx.Done():
				timer.Stop()
				return
			case <-h.wake: // soon, but no more often than that, whatever the neighbours do
				pause = firstExchange
				timer.Reset(time.Until(ended.Add(firstExchange)))
			case <-timer.C:
				waiting = false
			}
		}
		pause = min(2*pause, lastExchange)
	}
}

// dial connects to peers that are not connected, side by side; failures are tried again in the next round.
func (h *Host) dial(infos []peer.AddrInfo) {
	results := make(chan struct{}, len(infos))
	for _, info := range infos {
		go func() {
			defer func() { results <- struct{}{} }()
			if info.ID == h.lib.ID() {
				return
			}
			ctx, cancel := context.WithTimeout(h.ctx, dialTimeout)
			defer cancel()
			if err := h.lib.Connect(ctx, info); err != nil {
				h.cfg.Logger.Debug("peer not reached", "peer", info.ID, "err", oneLine(err))
			}
		}()
	}
	for range infos {
		<-results
	}
}

// dialBook dials some peers of the address book. While nobody is connected the fault may be ours, and is not counted.
func (h *Host) dialBook() {
	infos := h.saved.sample(dialPerRound, func(id peer.ID) bool { return len(h.lib.Network().ConnsToPeer(id)) == 0 })
	h.dial(infos)
	if len(h.lib.Network().Peers()) == 0 {
		return
	}
	for _, info := range infos {
		h.saved.tried(info.ID, len(h.lib.Network().ConnsToPeer(info.ID)) == 0)
	}
}

// exchange asks some neighbours for peers and returns up to dialPerRound that are new.
func (h *Host) exchange() []peer.AddrInfo {
	neighbours := h.Peers()
	rand.Shuffle(len(neighbours), func(i, j int) { neighbours[i], neighbours[j] = neighbours[j], neighbours[i] })
	var found []peer.AddrInfo
	for _, p := range neighbours[:min(askPerRound, len(neighbours))] {
		infos, err := h.askPeers(p)
		if err != nil {
			h.cfg.Logger.Debug("peer exchange", "peer", p, "err", err)
			continue
		}
		for _, info := range infos {
			known := len(h.lib.Network().ConnsToPeer(info.ID)) > 0 || info.ID == h.lib.ID()
			if !known && len(found) < dialPerRound {
				found = append(found, info)
			}
		}
	}
	return found
}

func (h *Host) askPeers(p protocol.PeerID) ([]peer.AddrInfo, error) {
	resp, err := h.Call(h.ctx, p, peersCall, nil, maxPeersReply)
	if err != nil {
		return nil, err
	}
	return decodeRecords(resp)
}

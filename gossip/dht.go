package gossip

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/ipfs/go-cid"
	kad "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libp2pproto "github.com/libp2p/go-libp2p/core/protocol"
	mh "github.com/multiformats/go-multihash"

	"drystone/protocol"
)

// Pace and reach of the DHT.
const (
	firstLookup    = 2 * time.Second // doubled up to lastLookup
	lastLookup     = time.Minute
	advertiseEvery = 10 * time.Minute
	lookupTime     = 20 * time.Second // a lookup or an advertisement takes no longer
	lookupWant     = 64               // providers asked for
	bucketSize     = 20               // k of Kademlia; 256 buckets bound the table
	probeMembers   = 4                // members dialled after a lookup by a host with enough neighbours
	lookupWidth    = 3                // alpha: requests of one lookup side by side
)

// finder is the host's part of the run's distributed hash table (Kademlia, libp2p's kad-dht): a network of its own, since its
// protocol carries the RunID, in which public hosts answer and all ask. It stores one thing: who takes part in the run and
// can be reached, under the RunID as a CID. Values are off.
type finder struct {
	dht     *kad.IpfsDHT
	key     cid.Cid
	members atomic.Int64 // others that the last lookup found
	lost    atomic.Int64 // of them that cannot be reached, by those that were dialled after it
}

// newFinder starts the DHT.
func (h *Host) newFinder() (*finder, error) {
	sum, err := mh.Encode(h.cfg.Run[:], mh.SHA2_256)
	if err != nil {
		return nil, fmt.Errorf("gossip: DHT key: %w", err)
	}
	mode := map[Reach]kad.ModeOpt{ReachPublic: kad.ModeServer, ReachPrivate: kad.ModeClient, ReachOut: kad.ModeClient, ReachAuto: kad.ModeAuto}[h.cfg.Reach]
	d, err := kad.New(h.ctx, h.lib,
		kad.ProtocolPrefix(libp2pproto.ID("/drystone/1/"+h.cfg.Run.String())),
		kad.Mode(mode), kad.BucketSize(bucketSize), kad.Concurrency(lookupWidth), kad.Resiliency(lookupWidth),
		kad.ProviderStore(&providers{key: sum}), kad.DisableValues(), kad.LookupCheckConcurrency(16),
		kad.AddressFilter(boundAddrs), kad.RoutingTableRefreshPeriod(advertiseEvery), kad.RoutingTableRefreshQueryTimeout(lookupTime))
	if err != nil {
		return nil, fmt.Errorf("gossip: DHT: %w", err)
	}
	return &finder{dht: d, key: cid.NewCidV1(cid.Raw, sum)}, nil
}

// lookup says to the DHT that this host is there, if others can reach it, and looks for more members, until Close.
func (h *Host) lookup() {
	var advertised time.Time
	pause := firstLookup
	for waitFor(h.ctx, pause) {
		young := pause < lastLookup // while the network gathers, servers of the last advertisement are few
		pause = min(2*pause, lastLookup)
		if h.finder.dht.RoutingTable().Size() == 0 {
			continue // nobody to ask yet
		}
		if h.reach.get() == ReachPublic && (young || time.Since(advertised) >= advertiseEvery) {
			ctx, cancel := context.WithTimeout(h.ctx, lookupTime)
			if err := h.finder.dht.Provide(ctx, h.finder.key, true); err != nil {
				h.cfg.Logger.Debug("DHT: not advertised", "err", oneLine(err))
			} else {
				advertised = time.Now()
			}
			cancel()
		}
		h.reachMembers(h.findMembers())
	}
}

// reachMembers dials some of the members that the DHT names and that are not connected: as many as the host may lack
// neighbours, else a few, so that two parts of a network that have lost each other meet again, and so that it shows if they
// cannot.
func (h *Host) reachMembers(found []peer.AddrInfo) {
	few := probeMembers
	if len(h.lib.Network().Peers()) < (h.cfg.Peers+1)/2 {
		few = dialPerRound
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	tried := found[:min(len(found), few)]
	h.dial(tried)
	failed := 0
	for _, info := range tried {
		if h.lib.Network().Connectedness(info.ID) != network.Connected {
			failed++
		}
	}
	h.finder.lost.Store(int64(len(found) * failed / max(len(tried), 1)))
}

// findMembers asks the DHT for members and returns those that are not connected.
func (h *Host) findMembers() []peer.AddrInfo {
	ctx, cancel := context.WithTimeout(h.ctx, lookupTime)
	defer cancel()
	var fresh []peer.AddrInfo
	seen := map[peer.ID]bool{} // one that came without an address can come again with some
	for info := range h.finder.dht.FindProvidersAsync(ctx, h.finder.key, lookupWant) {
		if info.ID == h.lib.ID() {
			continue
		}
		seen[info.ID] = true
		if h.lib.Network().Connectedness(info.ID) != network.Connected && len(info.Addrs) > 0 {
			fresh = append(fresh, info)
		}
	}
	h.finder.members.Store(int64(len(seen)))
	return fresh
}

// Find asks the DHT where a peer is now, and connects to it: for one whose known addresses are dead. Only peers that serve
// the DHT, and those that its servers are connected to, are found.
func (h *Host) Find(ctx context.Context, p protocol.PeerID) error {
	id, err := PeerIDFromProtocol(p)
	if err != nil {
		return err
	}
	ctx, stop := h.join(ctx)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	info, err := h.finder.dht.FindPeer(ctx, id)
	if err == nil {
		err = h.lib.Connect(ctx, info)
	}
	if err != nil {
		return fmt.Errorf("gossip: find %s: %w", p.Short(), oneLine(err))
	}
	return nil
}

// waitFor waits and reports whether ctx is still alive.
func waitFor(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

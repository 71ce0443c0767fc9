package gossip

import (
	"context"
	"sync"

	"drystone/protocol"
)

// Calls and streams under way at once. An honest caller waits for its own limit and so never meets the other side's.
const (
	maxInboundPerPeer = 16
	maxInbound        = 512
	maxOutwardPerPeer = 8
	maxOutward        = 256
)

// inflight counts what is under way per peer and overall.
type inflight struct {
	perPeer, total int
	freed          *signal

	mu    sync.Mutex
	n     int
	peers map[protocol.PeerID]int
}

func newInflight(perPeer, total int) *inflight {
	return &inflight{perPeer: perPeer, total: total, freed: newSignal(), peers: map[protocol.PeerID]int{}}
}

// try takes a place for p, or reports that there is none.
func (f *inflight) try(p protocol.PeerID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= f.total || f.peers[p] >= f.perPeer {
		return false
	}
	f.n++
	f.peers[p]++
	return true
}

// wait takes a place for p, when one is free.
func (f *inflight) wait(ctx context.Context, p protocol.PeerID) error {
	for {
		freed := f.freed.changed()
		if f.try(p) {
			return nil
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *inflight) done(p protocol.PeerID) {
	f.mu.Lock()
	f.n--
	if f.peers[p]--; f.peers[p] == 0 {
		delete(f.peers, p)
	}
	f.mu.Unlock()
	f.freed.fire()
}

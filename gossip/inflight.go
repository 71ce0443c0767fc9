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

	mu    sync.Mutex
	n     int
	peers map[protocol.PeerID]int
	freed chan struct{} // closed and replaced when something ends
}

func newInflight(perPeer, total int) *inflight {
	return &inflight{perPeer: perPeer, total: total, peers: map[protocol.PeerID]int{}, freed: make(chan struct{})}
}

// try takes a place for p, or reports that there is none. freed is closed when one may have become free.
func (f *inflight) try(p protocol.PeerID) (ok bool, freed <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n >= f.total || f.peers[p] >= f.perPeer {
		return false, f.freed
	}
	f.n++
	f.peers[p]++
	return true, nil
}

// wait takes a place for p, when one is free.
func (f *inflight) wait(ctx context.Context, p protocol.PeerID) error {
	for {
		ok, freed := f.try(p)
		if ok {
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
	defer f.mu.Unlock()
	f.n--
	if f.peers[p]--; f.peers[p] == 0 {
		delete(f.peers, p)
	}
	close(f.freed)
	f.freed = make(chan struct{})
}

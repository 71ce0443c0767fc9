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

// inflight counts what is under way per peer and overall. Once members are named, strangers take at most half of the places.
type inflight struct {
	perPeer, total int
	freed          *signal

	mu        sync.Mutex
	n         int
	peers     map[protocol.PeerID]int
	members   favoured // nil if none were named: then all are alike
	strangers int      // places of those who were no members when they took them
	strange   map[protocol.PeerID]int
}

func newInflight(perPeer, total int) *inflight {
	return &inflight{perPeer: perPeer, total: total, freed: newSignal(), peers: map[protocol.PeerID]int{}, strange: map[protocol.PeerID]int{}}
}

// favour names the members, and returns those named before.
func (f *inflight) favour(members favoured) (before favoured) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before, f.members = f.members, members
	return before
}

// try takes a place for p, or reports that there is none.
func (f *inflight) try(p protocol.PeerID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, member := f.members[p]
	stranger := f.members != nil && !member
	if f.n >= f.total || f.peers[p] >= f.perPeer || stranger && f.strangers >= f.total/2 {
		return false
	}
	if stranger {
		f.strangers++
		f.strange[p]++
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
	if f.strange[p] > 0 { // of several places of one peer it does not matter which ends
		f.strangers--
		if f.strange[p]--; f.strange[p] == 0 {
			delete(f.strange, p)
		}
	}
	if f.peers[p]--; f.peers[p] == 0 {
		delete(f.peers, p)
	}
	f.mu.Unlock()
	f.freed.fire()
}

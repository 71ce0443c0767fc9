package gossip

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// hold keeps messages that cannot be judged yet. Gossipsub looks at the same bytes once, so a message ignored for being
// early would be lost here and would not travel on; a validator that waits loses nothing. What waits is bounded in bytes,
// overall and per neighbour.
type hold struct {
	max int

	mu      sync.Mutex
	bytes   int
	perPeer map[peer.ID]int
	changed chan struct{} // closed and replaced by recheck
}

func newHold(max int) *hold {
	return &hold{max: max, perPeer: map[peer.ID]int{}, changed: make(chan struct{})}
}

func (h *hold) recheck() {
	h.mu.Lock()
	defer h.mu.Unlock()
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hold) signal() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// until asks judge now and after every recheck for as long as it says Later, for at most d. size bytes from src are
// accounted for while it waits. It never returns Later.
func (h *hold) until(ctx context.Context, d time.Duration, src peer.ID, size int, judge func() Verdict) Verdict {
	changed := h.signal() // taken before judging, so that a recheck during it is not missed
	v := judge()
	if v != Later {
		return v
	}
	if !h.add(src, size) {
		return Ignore
	}
	defer h.remove(src, size)
	timer := time.NewTimer(d)
	defer timer.Stop()
	for v == Later {
		select {
		case <-changed:
			changed = h.signal()
			v = judge()
		case <-timer.C:
			return Ignore
		case <-ctx.Done():
			return Ignore
		}
	}
	return v
}

func (h *hold) add(src peer.ID, size int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes+size > h.max || h.perPeer[src]+size > h.max/4 {
		return false
	}
	h.bytes += size
	h.perPeer[src] += size
	return true
}

func (h *hold) remove(src peer.ID, size int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes -= size
	if h.perPeer[src] -= size; h.perPeer[src] <= 0 {
		delete(h.perPeer, src)
	}
}

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
	max     int
	recheck *signal

	mu      sync.Mutex
	bytes   int
	perPeer map[peer.ID]int
}

func newHold(max int) *hold {
	return &hold{max: max, recheck: newSignal(), perPeer: map[peer.ID]int{}}
}

// until asks judge now and after every recheck fired for as long as it says Later, for at most d. size bytes from src are
// accounted for while it waits. It never returns Later.
func (h *hold) until(ctx context.Context, d time.Duration, src peer.ID, size int, judge func() Verdict) Verdict {
	changed := h.recheck.changed() // taken before judging, so that a recheck during it is not missed
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
			changed = h.recheck.changed()
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

package gossip

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// minHeld is the least that a held message counts for, in bytes.
const minHeld = 128 << 10

// hold keeps messages that cannot be judged yet. Gossipsub looks at the same bytes once, so a message ignored for being
// early would be lost here and would not travel on; a validator that waits loses nothing. What waits is bounded in bytes,
// overall and per neighbour. Each message counts for at least minHeld, so that with the default of HoldBytes at most half
// of the places for validation are taken by waiting.
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
	size = max(size, minHeld)
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
	size = max(size, minHeld)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes -= size
	if h.perPeer[src] -= size; h.perPeer[src] <= 0 {
		delete(h.perPeer, src)
	}
}

// size returns the bytes accounted for.
func (h *hold) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes
}

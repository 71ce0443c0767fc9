package gossip

import (
	"context"
	"slices"
	"sync"
	"time"

	"drystone/protocol"
)

// Bounds of the queue of pieces to upload.
const (
	uploadSlots  = 8  // pieces written at once, fewer within a low Config.Up
	uploadQueue  = 64 // requests that wait
	uploadShare  = 8  // requests of one peer that wait or are served
	uploadPeer   = 4  // pieces written to one peer at once
	longestQueue = 4 * time.Second
	firstEach    = 250 * time.Millisecond // of a piece, until it is known better
	shortestHint = 100 * time.Millisecond
	maxHint      = 10 * time.Second
)

// uploads lets requests for pieces in, a few at a time. Those that wait are served one peer after the other, so that one
// which asks for much delays nobody, and a newcomer gets its first piece, which it can serve on, after at most one turn of
// the others. Who would wait longer than longestQueue is told to come back later: no donor drowns.
type uploads struct {
	slots int

	mu     sync.Mutex
	active map[protocol.PeerID]int
	n      int               // pieces being written
	ring   []protocol.PeerID // peers with requests that wait, whose turn is next first
	queue  map[protocol.PeerID][]chan struct{}
	queued int
	each   time.Duration // between two pieces' ends when slots are short; a moving average
	last   time.Time     // end of the last piece that left another waiting
}

// newUploads makes the queue for an upload limit in bytes per second, 0 for none.
func newUploads(limit int64) *uploads {
	u := &uploads{slots: uploadSlots, each: firstEach, active: map[protocol.PeerID]int{}, queue: map[protocol.PeerID][]chan struct{}{}}
	if limit > 0 { // four seconds' worth
		u.slots = int(min(max(4*limit/pieceSize, 1), uploadSlots))
		u.each = time.Duration(pieceSize / float64(limit) * float64(time.Second))
	}
	return u
}

// enter waits for a slot; the caller calls leave after the upload. If the queue is too long it says instead when to ask
// again. While a slot is free, those that wait are of peers that have their share of slots.
func (u *uploads) enter(ctx context.Context, p protocol.PeerID) (wait time.Duration, err error) {
	u.mu.Lock()
	if u.n < u.slots && u.active[p] < uploadPeer {
		u.take(p)
		u.mu.Unlock()
		return 0, nil
	}
	expected := time.Duration(u.queued+1) * u.each
	if expected > longestQueue || u.queued >= uploadQueue || len(u.queue[p])+u.active[p] >= uploadShare {
		u.mu.Unlock()
		return min(max(expected/2, shortestHint), maxHint), nil
	}
	turn := make(chan struct{})
	if len(u.queue[p]) == 0 {
		u.ring = append(u.ring, p)
	}
	u.queue[p] = append(u.queue[p], turn)
	u.queued++
	u.mu.Unlock()
	select {
	case <-turn:
		return 0, nil
	case <-ctx.Done():
		u.abandon(p, turn)
		return 0, ctx.Err()
	}
}

func (u *uploads) take(p protocol.PeerID) {
	u.n++
	u.active[p]++
}

// leave frees a slot and gives it to the peer whose turn it is.
func (u *uploads) leave(p protocol.PeerID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.n--
	if u.active[p]--; u.active[p] == 0 {
		delete(u.active, p)
	}
	now := time.Now()
	if u.queued == 0 {
		u.last = time.Time{}
	} else {
		if !u.last.IsZero() {
			u.each += (now.Sub(u.last) - u.each) / 8
		}
		u.last = now
	}
	u.next()
}

// next lets in who may: the first peer of the ring that is not served enough already. The caller holds mu.
func (u *uploads) next() {
	for i := 0; i < len(u.ring) && u.n < u.slots; {
		p := u.ring[i]
		if u.active[p] >= uploadPeer {
			i++
			continue
		}
		turn := u.queue[p][0]
		u.ring = slices.Delete(u.ring, i, i+1)
		u.drop(p, turn)
		if len(u.queue[p]) > 0 {
			u.ring = append(u.ring, p)
		}
		u.take(p)
		close(turn)
	}
}

// drop takes a request out of its peer's queue.
func (u *uploads) drop(p protocol.PeerID, turn chan struct{}) bool {
	i := slices.Index(u.queue[p], turn)
	if i < 0 {
		return false
	}
	u.queue[p] = slices.Delete(u.queue[p], i, i+1)
	u.queued--
	if len(u.queue[p]) == 0 {
		delete(u.queue, p)
	}
	return true
}

// abandon forgets a request, or gives its slot back if it has just come.
func (u *uploads) abandon(p protocol.PeerID, turn chan struct{}) {
	u.mu.Lock()
	waiting := u.drop(p, turn)
	if waiting && len(u.queue[p]) == 0 {
		u.ring = slices.DeleteFunc(u.ring, func(q protocol.PeerID) bool { return q == p })
	}
	u.mu.Unlock()
	if !waiting {
		u.leave(p)
	}
}

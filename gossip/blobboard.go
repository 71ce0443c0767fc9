package gossip

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"drystone/protocol"
)

// A piece that comes within fastPiece is fast, one that takes more than slowPiece slow.
const (
	fastPiece = 600 * time.Millisecond
	slowPiece = 1200 * time.Millisecond
)

// board is what a fetch knows: which pieces are here, which are under way from whom, and how many sources have each. The
// fetch's mutex guards it.
type board struct {
	size    int64               // of the blob; 0 until it is settled
	buf     []byte              // the blob; verified pieces are written once and then only read
	paths   [][]protocol.Digest // of verified pieces; nil for those that are missing
	got     int                 // pieces verified
	done    int64               // their bytes
	sources map[protocol.PeerID]*source
	active  int           // requests under way
	flights []flight      // per piece
	holders []int         // per piece, sources that have it
	typical time.Duration // a piece takes; a moving average
}

// flight is a piece under way.
type flight struct {
	n     int // requests for it
	since time.Time
}

// source is a peer that a fetch draws from.
type source struct {
	id     protocol.PeerID
	have             // size 0 before it has answered
	asked  time.Time // when it last said what it has
	depth  int       // requests that may be under way
	flying map[int]*asked
	until  time.Time // it asked us to wait
	misses int
	owed   int  // one more than a piece that it has not given since it last said what it has; 0 for none
	counts bool // its pieces are in holders
}

// paced adapts the depth: more requests while pieces come fast, so that the path is full; fewer when they come slowly, for
// then they wait for one another, and the last of them would be late.
func (s *source) paced(took time.Duration) {
	switch {
	case took < fastPiece:
		s.depth = min(s.depth+1, maxDepth)
	case took > slowPiece:
		s.depth = max(s.depth-1, 2)
	}
}

// asked is a request under way.
type asked struct {
	cancel context.CancelFunc
	begun  atomic.Bool // its response has begun to come
}

// lose ends a request whose piece another source has brought. One that has had no answer at all goes on, to see whether the
// source stalls.
func (a *asked) lose() {
	if a.begun.Load() {
		a.cancel()
	}
}

// reset starts over with a size.
func (b *board) reset(size int64) {
	n := pieces(size)
	b.size, b.buf, b.paths = size, make([]byte, size), make([][]protocol.Digest, n)
	b.got, b.done, b.flights, b.holders = 0, 0, make([]flight, n), make([]int, n)
	for _, s := range b.sources {
		for _, a := range s.flying {
			a.cancel()
		}
		s.counts = false
	}
}

func (b *board) complete() bool { return b.size > 0 && b.got == len(b.paths) }

// put writes a verified piece.
func (b *board) put(p proven) {
	copy(b.buf[int64(p.index)*pieceSize:], p.data)
	b.paths[p.index] = append([]protocol.Digest{}, p.nodes...)
	b.got++
	b.done += int64(len(p.data))
	for _, s := range b.sources {
		if a := s.flying[p.index]; a != nil {
			a.lose()
		}
	}
}

// count adds what a source has to holders; uncount takes it away.
func (b *board) count(s *source)   { b.tally(s, true, 1) }
func (b *board) uncount(s *source) { b.tally(s, false, -1) }

func (b *board) tally(s *source, counts bool, by int) {
	if b.size == 0 || s.size != b.size || s.counts == counts {
		return
	}
	s.counts = counts
	for i := range b.holders {
		if s.have.has(i) {
			b.holders[i] += by
		}
	}
}

// took takes note of how long a piece was under way.
func (b *board) took(d time.Duration) {
	if b.typical == 0 {
		b.typical = d
	}
	b.typical += (d - b.typical) / 8
}

// late is how long a piece may be under way before another source is asked for it too: much longer than pieces take, or, while
// none has come, than a slow one takes. Blobs of one piece would else be asked for twice wherever many want them at once.
func (b *board) late() time.Duration {
	if b.typical == 0 {
		return slowPiece
	}
	return max(2*b.typical, fetchTick)
}

// choose returns the piece to ask s for next: of those not under way one that the fewest sources have, a random one of
// several; else one that has been under way for much longer than pieces take, from another source alone.
func (b *board) choose(s *source) (int, bool) {
	best, late := -1, -1
	n := len(b.paths)
	if n == 0 {
		return 0, false
	}
	for k, from := 0, rand.IntN(n); k < n; k++ {
		i := (from + k) % n
		if b.paths[i] != nil || !s.have.has(i) || s.flying[i] != nil {
			continue
		}
		switch fl := b.flights[i]; {
		case fl.n == 0:
			if best < 0 || b.holders[i] < b.holders[best] {
				best = i
			}
		case fl.n == 1 && time.Since(fl.since) > b.late():
			if late < 0 || fl.since.Before(b.flights[late].since) {
				late = i
			}
		}
	}
	if best < 0 {
		best = late
	}
	return best, best >= 0
}

// pick chooses a piece for s and marks it as under way. The request's context outlives the fetch: see asked.
func (f *fetch) pick(s *source) (ctx context.Context, a *asked, i int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.size == 0 || s.size != f.size || len(s.flying) >= s.depth || f.active >= f.most || time.Now().Before(s.until) || f.sources[s.id] != s {
		return nil, nil, 0, false
	}
	if i, ok = f.choose(s); !ok {
		return nil, nil, 0, false
	}
	a = &asked{}
	ctx, a.cancel = context.WithCancel(f.h.ctx)
	s.flying[i] = a
	f.active++
	if f.flights[i].n++; f.flights[i].n == 1 {
		f.flights[i].since = time.Now()
	}
	return ctx, a, i, true
}

// end lets no request write any more. Those that have had no answer yet go on, unless the fetch was cut off.
func (f *fetch) end(cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	for _, s := range f.sources {
		for _, a := range s.flying {
			if cut {
				a.cancel()
			} else {
				a.lose()
			}
		}
	}
}

// land ends a request and reports whether its piece is here already or no longer wanted.
func (f *fetch) land(s *source, i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(s.flying, i)
	f.active--
	if f.over || s.size != f.size || i >= len(f.paths) {
		return true
	}
	f.flights[i].n = max(f.flights[i].n-1, 0)
	return f.paths[i] != nil
}

// pause keeps to what a source asked for.
func (f *fetch) pause(s *source, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.until = time.Now().Add(d)
	s.depth = max(s.depth/2, 1)
}

// missed counts a piece that a source did not have, and reports whether that is forgiven. It is asked again what it has: see
// ask. Requests that were under way together are one broken word.
func (f *fetch) missed(s *source, i int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.owed == 0 {
		s.owed = i + 1
		f.h.blobs.conduct.blame(s.id, pointsMissing)
	}
	s.misses++
	f.uncount(s)
	s.set = newPieceSet(pieces(s.size))
	s.asked = s.asked.Add(-pollHave)
	return s.misses <= maxMisses
}

// due reports whether a source should be asked what it has: at first, and while it lacks what is missing here.
func (f *fetch) due(s *source) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.asked.IsZero() || s.set != nil && len(s.flying) == 0 && time.Since(s.asked) >= pollHave
}

func (f *fetch) gone(s *source) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sources[s.id] != s
}

// have returns what the fetch has, for those who fetch from it.
func (f *fetch) have() (have, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.got == 0 {
		return have{}, false
	}
	set := newPieceSet(len(f.paths))
	for i, p := range f.paths {
		if p != nil {
			set.add(i)
		}
	}
	return have{size: f.size, set: set}, true
}

// piece returns a verified piece. Its data is a part of the blob: do not change it.
func (f *fetch) piece(i int) (proven, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.paths) || f.paths[i] == nil {
		return proven{}, false
	}
	from := int64(i) * pieceSize
	return proven{index: i, size: f.size, nodes: slices.Clone(f.paths[i]), data: f.buf[from : from+int64(pieceBytes(f.size, i))]}, true
}

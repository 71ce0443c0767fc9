package gossip

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"drystone/protocol"
)

// Errors of Fetch.
var (
	// ErrBadBlob means that a source sent data that does not match the digest. The connection is authenticated: it is
	// the source's fault.
	ErrBadBlob = errors.New("wrong data for the digest")
	// ErrStalled means that a source let a request or a response stand still for 15 seconds.
	ErrStalled = errors.New("the peer stalls")
	// ErrUnavailable means that no source could give the blob. It wraps one line per source.
	ErrUnavailable = errors.New("blob unavailable")
)

// Pace of a fetch.
const (
	maxFetchSources = 16 // asked at once; the others take the place of those that fail
	maxDepth        = 6  // requests under way to one source: as many as keep it busy, see paced
	maxFails        = 64 // lines of an error
	maxMisses       = 3  // times that a source may not have what it said it has
	stallAfter      = 15 * time.Second
	fetchTick       = 250 * time.Millisecond // between looks at what time alone changes
	idleLimit       = time.Minute            // without a piece from anyone
	pollHave        = time.Second            // between questions to a source that has nothing for us
	settleSize      = 300 * time.Millisecond // wait for other sources to say a size that the caller does not know
)

// PartStore keeps the verified pieces of a blob that is being fetched, so that the fetch goes on after a restart.
// durable.Part is one. It is used by one goroutine at a time.
type PartStore interface {
	// Frames calls yield with each frame that was appended, of at most max bytes, until it returns false.
	Frames(max int, yield func(frame []byte) bool) error
	// Append adds a frame. A crash may lose it, but not what was there before.
	Append(frame []byte) error
	Close() error
}

// FetchOptions say more about a Fetch; each may be zero. Callbacks come one at a time and must be quick.
type FetchOptions struct {
	Size     int64                                   // of the blob in bytes, if the caller knows it: then nobody can lie about it
	Part     func() (PartStore, error)               // opens what was fetched before; nil keeps nothing
	More     func() []protocol.PeerID                // asked every second, and before giving up, for further sources
	Progress func(done, total int64)                 // bytes verified, and bytes in all
	Blame    func(source protocol.PeerID, err error) // a source failed; ErrBadBlob if it lied, ErrStalled if it stalled
}

// Fetch returns the blob d of at most limit bytes (4 GiB at most), from many sources at once: of the pieces that are
// missing it asks first for one that the fewest sources have, and each is proven against the digest on arrival and served
// on from then. A source that fails, stalls or lies is not asked again; the latter two lose score besides. Nothing
// unverified is returned. A second Fetch of the same blob waits for the first. The result is shared: do not change it.
//
// How sources come to have the whole: the fewest-first rule of BitTorrent (Cohen, Incentives Build Robustness in
// BitTorrent, 2003, section 2.4), without its tit-for-tat, since what is fetched here is what all need.
func (h *Host) Fetch(ctx context.Context, d protocol.Digest, limit int64, from []protocol.PeerID, opt FetchOptions) ([]byte, error) {
	if d == protocol.MerkleRoot(nil) {
		return []byte{}, nil
	}
	f := newFetch(h, d, limit, from, opt)
	for {
		h.blobs.mu.Lock()
		other := h.blobs.fetches[d]
		if other == nil {
			h.blobs.fetches[d] = f
		}
		h.blobs.mu.Unlock()
		if other == nil {
			break
		}
		select {
		case <-other.ended:
		case <-ctx.Done():
			return nil, fmt.Errorf("gossip: fetch %s: %w", d, ctx.Err())
		}
		if other.err == nil && int64(len(other.buf)) <= limit {
			return other.buf, nil
		}
	}
	data, err := f.run(ctx)
	f.err = err
	h.blobs.mu.Lock()
	delete(h.blobs.fetches, d)
	h.blobs.mu.Unlock()
	close(f.ended)
	if err != nil {
		return nil, fmt.Errorf("gossip: fetch %s: %w", d, err)
	}
	return data, nil
}

// fetch is one Fetch under way.
type fetch struct {
	h       *Host
	d       protocol.Digest
	limit   int64
	opt     FetchOptions
	changed *signal
	most    int // requests under way, so that none starves within the download limit

	ended chan struct{} // closed after err is set
	err   error

	mu       sync.Mutex
	board    // what is here, what is under way, who has what
	reserve  []protocol.PeerID
	known    map[protocol.PeerID]bool // every source that was ever named
	fails    []error
	part     PartStore
	over     bool      // nothing is written any more
	firstHad time.Time // when the first source said a size
	moved    time.Time // when the last piece came
}

func newFetch(h *Host, d protocol.Digest, limit int64, from []protocol.PeerID, opt FetchOptions) *fetch {
	f := &fetch{h: h, d: d, limit: min(limit, maxBlobSize), opt: opt, changed: newSignal(), ended: make(chan struct{}),
		board: board{sources: map[protocol.PeerID]*source{}}, known: map[protocol.PeerID]bool{h.id: true}}
	f.most = maxFetchSources * maxDepth
	if h.cfg.Down > 0 { // four seconds' worth
		f.most = int(min(max(4*h.cfg.Down/pieceSize, 2), int64(f.most)))
	}
	f.add(from)
	return f
}

// add names sources, in random order so that many who fetch spread over them; those that are shunned come last.
func (f *fetch) add(from []protocol.PeerID) {
	from = slices.Clone(from)
	rand.Shuffle(len(from), func(i, j int) { from[i], from[j] = from[j], from[i] })
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range from {
		if !f.known[p] && len(f.known) <= MaxPeers {
			f.known[p] = true
			f.reserve = append(f.reserve, p)
		}
	}
	slices.SortStableFunc(f.reserve, func(a, b protocol.PeerID) int {
		return int(f.h.blobs.conduct.points(a)/shunAt) - int(f.h.blobs.conduct.points(b)/shunAt)
	})
}

// run fetches. It returns after every goroutine that it started has ended, but for requests that had no answer yet: those end
// with one, after stallAfter, or with the host, and change nothing.
func (f *fetch) run(ctx context.Context) (data []byte, err error) {
	if f.opt.Size > f.limit {
		return nil, fmt.Errorf("%d bytes, limit %d: %w", f.opt.Size, f.limit, ErrTooLarge)
	}
	f.resume()
	if f.part != nil {
		defer func() { err = errors.Join(err, f.part.Close()) }()
	}
	f.moved = time.Now()
	ctx, stop := f.h.join(ctx)
	defer stop()
	work, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	defer func() { f.end(err != nil) }()
	last := false // it has asked for more sources because none was left
	for asked := time.Now(); ; {
		changed := f.changed.changed()
		if f.opt.More != nil && time.Since(asked) >= pollHave {
			f.add(f.opt.More())
			asked = time.Now()
		}
		started, over, err := f.look()
		if over && err != nil && f.opt.More != nil && !last {
			last = true
			f.add(f.opt.More())
			continue
		}
		if over {
			return f.buf, err
		}
		for _, s := range started {
			workers.Go(func() { f.draw(work, s) })
		}
		if !sleep(ctx, changed, fetchTick) {
			return nil, context.Cause(ctx)
		}
	}
}

// sleep waits for changed or for d. It reports whether ctx is still alive.
func sleep(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
		return false
	}
	return ctx.Err() == nil
}

// look takes sources from the reserve into free places and says whether the fetch is over.
func (f *fetch) look() (started []*source, over bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.settle()
	if f.complete() {
		return nil, true, nil
	}
	for len(f.sources) < maxFetchSources && len(f.reserve) > 0 {
		p := f.reserve[0]
		if len(f.sources) > 0 && f.h.blobs.conduct.shunned(p) {
			break // as long as there are others
		}
		f.reserve = f.reserve[1:]
		s := &source{id: p, depth: 2, flying: map[int]*asked{}}
		f.sources[p] = s
		started = append(started, s)
	}
	if len(f.sources) == 0 {
		return nil, true, f.unavailable()
	}
	if time.Since(f.moved) > idleLimit {
		return nil, true, fmt.Errorf("%w: nothing came for %v from %d sources", ErrUnavailable, idleLimit, len(f.sources))
	}
	return started, false, nil
}

func (f *fetch) unavailable() error {
	if len(f.fails) == 0 {
		return fmt.Errorf("%w: no source given", ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(f.fails...))
}

// settle fixes the blob's size, which a piece alone does not prove, unless the caller knows it: the one that most sources
// say. If they all fail later, what was fetched under it is void and the next size has its turn. The caller holds mu.
func (f *fetch) settle() {
	if f.opt.Size > 0 && f.size == 0 {
		f.reset(f.opt.Size)
	}
	votes := map[int64]int{}
	silent := 0
	for _, s := range f.sources {
		if s.asked.IsZero() {
			silent++
		} else {
			votes[s.size]++
		}
	}
	if f.opt.Size > 0 || f.size > 0 && (votes[f.size] > 0 || silent > 0) || len(votes) == 0 {
		return
	}
	if f.firstHad.IsZero() {
		f.firstHad = time.Now()
	}
	if silent > 0 && time.Since(f.firstHad) < settleSize {
		return
	}
	var best int64
	for size, n := range votes {
		if n > votes[best] || n == votes[best] && size < best {
			best = size
		}
	}
	f.reset(best)
	for _, s := range f.sources {
		f.count(s)
	}
}

// resume takes what an earlier fetch of the blob has verified, after verifying it again. Without it the fetch begins anew.
func (f *fetch) resume() {
	if f.opt.Part == nil {
		return
	}
	part, err := f.opt.Part()
	if err != nil {
		f.unkept(err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.part = part
	f.settle()
	err = part.Frames(maxProven, func(frame []byte) bool {
		p, err := decodeProven(frame)
		if err != nil || p.size > f.limit || f.size > 0 && p.size != f.size || p.check(f.d) != nil {
			return true // damaged: it is fetched again
		}
		if f.size == 0 {
			f.reset(p.size)
		}
		if f.paths[p.index] == nil {
			f.put(p)
		}
		return true
	})
	if err != nil {
		f.unkept(err)
	}
}

func (f *fetch) unkept(err error) {
	f.h.cfg.Logger.Warn("a part of a blob is not kept: after a restart its fetch begins anew", "blob", f.d, "err", err)
}

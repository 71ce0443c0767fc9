package gossip

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"drystone/protocol"
)

// Errors of Fetch.
var (
	// ErrBadBlob means that a source sent data that does not match the digest. The connection is authenticated: it is
	// the source's fault.
	ErrBadBlob = errors.New("wrong data for the digest")
	// ErrUnavailable means that no source could give the blob. It wraps one line per source.
	ErrUnavailable = errors.New("blob unavailable")
)

// A fetch has workersPerSource calls under way to each of at most maxFetchSources sources.
const (
	workersPerSource = 2
	maxFetchSources  = 8
)

// FetchOptions are the callbacks of a Fetch; each may be nil. They are called one at a time.
type FetchOptions struct {
	Progress func(done, total int64)                 // bytes verified, and bytes in all (the last leaf counted as full)
	Blame    func(source protocol.PeerID, err error) // a source failed; ErrBadBlob if it lied
}

// Fetch returns the blob d of at most limit bytes (4 GiB at most), from one or several sources at once. First one source
// gives the hashes of all leaves, which must fold to d; then ranges of leaves come from all sources side by side, each
// leaf checked on arrival. A source that fails or lies is not asked again, and its share goes to the others. Nothing
// unverified is returned.
func (h *Host) Fetch(ctx context.Context, d protocol.Digest, limit int64, from []protocol.PeerID, opt FetchOptions) ([]byte, error) {
	f := &fetch{h: h, d: d, opt: opt, sources: slices.Clone(from)}
	data, err := f.run(ctx, limit)
	if err != nil {
		return nil, fmt.Errorf("gossip: fetch %s: %w", d, err)
	}
	return data, nil
}

// fetch is one Fetch under way. After the leaf hashes are known, workers share the queue of ranges.
type fetch struct {
	h      *Host
	d      protocol.Digest
	opt    FetchOptions
	hashes []protocol.Digest
	buf    []byte   // len(hashes) leaves; workers write disjoint parts
	queue  chan int // first leaves of ranges still to fetch; capacity for all of them

	mu      sync.Mutex
	sources []protocol.PeerID // not failed yet
	fails   []error
	left    int // ranges to go
	done    int64
	size    int64 // of the blob, known with its last leaf
}

func (f *fetch) run(ctx context.Context, limit int64) ([]byte, error) {
	if err := f.layout(ctx, limit); err != nil {
		return nil, err
	}
	if len(f.hashes) == 0 {
		return []byte{}, nil
	}
	f.buf = make([]byte, len(f.hashes)*protocol.LeafSize)
	f.left = (len(f.hashes) + rangeLeaves - 1) / rangeLeaves
	f.queue = make(chan int, f.left)
	for first := 0; first < len(f.hashes); first += rangeLeaves {
		f.queue <- first
	}
	for f.left > 0 && len(f.sources) > 0 && ctx.Err() == nil {
		f.round(ctx, f.sources[:min(len(f.sources), maxFetchSources)])
	}
	if f.left > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, f.unavailable()
	}
	if f.size > limit {
		return nil, fmt.Errorf("%d bytes, limit %d: %w", f.size, limit, ErrTooLarge)
	}
	return f.buf[:f.size], nil
}

// round works on the queue with some of the sources until all is fetched or they have all failed.
func (f *fetch) round(ctx context.Context, sources []protocol.PeerID) {
	var workers sync.WaitGroup
	for _, p := range slices.Clone(sources) {
		for range workersPerSource {
			workers.Go(func() { f.work(ctx, p) })
		}
	}
	workers.Wait()
}

func (f *fetch) unavailable() error {
	if len(f.fails) == 0 {
		return fmt.Errorf("%w: no source given", ErrUnavailable)
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(f.fails...))
}

// layout asks one source after the other for the leaf hashes.
func (f *fetch) layout(ctx context.Context, limit int64) error {
	maxLeaves := min((max(limit, 0)+protocol.LeafSize-1)/protocol.LeafSize, maxBlobLeaves)
	for _, p := range slices.Clone(f.sources) {
		hashes, err := f.askLeaves(ctx, p, int(maxLeaves))
		if err == nil {
			f.hashes = hashes
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		f.blame(p, err)
	}
	return f.unavailable()
}

func (f *fetch) askLeaves(ctx context.Context, p protocol.PeerID, maxLeaves int) ([]protocol.Digest, error) {
	resp, err := f.h.Call(ctx, p, leavesCall, f.d[:], 32*maxLeaves)
	if err != nil {
		return nil, err
	}
	if len(resp)%32 != 0 {
		return nil, fmt.Errorf("%w: %d bytes of leaf hashes from %s", ErrBadBlob, len(resp), p)
	}
	hashes := make([]protocol.Digest, len(resp)/32)
	for i := range hashes {
		hashes[i] = protocol.Digest(resp[32*i:])
	}
	if protocol.RootOf(hashes) != f.d {
		return nil, fmt.Errorf("%w: leaf hashes from %s", ErrBadBlob, p)
	}
	return hashes, nil
}

// work fetches ranges from p until none is left or p fails.
func (f *fetch) work(ctx context.Context, p protocol.PeerID) {
	for {
		select {
		case <-ctx.Done():
			return
		case first, ok := <-f.queue:
			if !ok {
				return
			}
			if f.dropped(p) {
				f.queue <- first
				return
			}
			if err := f.fetchRange(ctx, p, first); err != nil {
				f.queue <- first // never blocks: this range's place is free
				if ctx.Err() == nil {
					f.blame(p, err)
				}
				return
			}
		}
	}
}

func (f *fetch) fetchRange(ctx context.Context, p protocol.PeerID, first int) error {
	count := min(rangeLeaves, len(f.hashes)-first)
	data, err := f.h.Call(ctx, p, rangeCall, encodeRange(f.d, first, count), count*protocol.LeafSize)
	if err != nil {
		return err
	}
	got := protocol.DataLeaves(data)
	if !slices.Equal(got, f.hashes[first:first+count]) {
		return fmt.Errorf("%w: leaves %d to %d from %s", ErrBadBlob, first, first+count-1, p)
	}
	off := first * protocol.LeafSize
	copy(f.buf[off:], data)
	f.mu.Lock()
	defer f.mu.Unlock()
	if first+count == len(f.hashes) {
		f.size = int64(off + len(data))
	}
	f.done += int64(len(data))
	if f.left--; f.left == 0 {
		close(f.queue)
	}
	if f.opt.Progress != nil {
		f.opt.Progress(f.done, int64(len(f.buf)))
	}
	return nil
}

func (f *fetch) dropped(p protocol.PeerID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.Contains(f.sources, p)
}

// blame drops a source and says so once.
func (f *fetch) blame(p protocol.PeerID, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.Index(f.sources, p)
	if i < 0 {
		return
	}
	f.sources = slices.Delete(f.sources, i, i+1)
	f.fails = append(f.fails, err)
	level := f.h.cfg.Logger.Debug
	if errors.Is(err, ErrBadBlob) {
		level = f.h.cfg.Logger.Warn
	}
	level("blob source dropped", "blob", f.d, "source", p, "err", err)
	if f.opt.Blame != nil {
		f.opt.Blame(p, err)
	}
}

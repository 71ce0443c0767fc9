package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"drystone/internal/durable"
	"drystone/protocol"
)

var _ BlobSource = (*durable.Store)(nil)

// memory is a source that may lie or fail.
type memory struct {
	mu     sync.Mutex
	blobs  map[protocol.Digest][]byte
	damage func(off int64, p []byte) error // of ranges read, after the leaves have been hashed
	reads  int
}

func newMemory(blobs ...[]byte) *memory {
	m := &memory{blobs: map[protocol.Digest][]byte{}}
	for _, b := range blobs {
		m.blobs[protocol.MerkleRoot(b)] = b
	}
	return m
}

func (m *memory) Size(d protocol.Digest) (int64, error) {
	b, ok := m.blobs[d]
	if !ok {
		return 0, fs.ErrNotExist
	}
	return int64(len(b)), nil
}

func (m *memory) ReadAt(d protocol.Digest, p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(m.blobs[d]).ReadAt(p, off)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reads++
	if m.damage != nil {
		if err := m.damage(off, p[:n]); err != nil {
			return 0, err
		}
	}
	return n, err
}

func randomBlob(seed uint64, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return b
}

// sources starts hosts that serve these stores and one that is connected to all of them.
func sources(t *testing.T, stores ...BlobSource) (reader *Host, ids []protocol.PeerID) {
	reader = newHost(t, 0, nil)
	for i, s := range stores {
		h := newHost(t, i+1, nil)
		h.ServeBlobs(s)
		connect(t, reader, h)
		ids = append(ids, h.ID())
	}
	return reader, ids
}

func TestFetch(t *testing.T) {
	var blobs [][]byte
	for i, size := range []int{0, 1, protocol.LeafSize, protocol.LeafSize + 1, rangeLeaves * protocol.LeafSize, 100*protocol.LeafSize + 7} {
		blobs = append(blobs, randomBlob(uint64(i), size))
	}
	store, err := durable.OpenStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if _, err := store.Put(b); err != nil {
			t.Fatal(err)
		}
	}
	h, ids := sources(t, store, newMemory(blobs...))
	for _, b := range blobs {
		var last, total int64
		got, err := h.Fetch(testContext(t), protocol.MerkleRoot(b), int64(len(b)), ids, FetchOptions{
			Progress: func(done, of int64) {
				if done <= last || done > of {
					t.Errorf("progress from %d to %d of %d", last, done, of)
				}
				last, total = done, of
			},
			Blame: func(p protocol.PeerID, err error) { t.Errorf("blamed %s: %v", p, err) },
		})
		if err != nil || !bytes.Equal(got, b) || last != int64(len(b)) {
			t.Fatalf("%d bytes: got %d, %v, progress %d of %d", len(b), len(got), err, last, total)
		}
		if len(b) > 0 {
			if _, err := h.Fetch(testContext(t), protocol.MerkleRoot(b), int64(len(b))-1, ids, FetchOptions{}); !errors.Is(err, ErrTooLarge) {
				t.Fatalf("%d bytes, one more than the limit: %v", len(b), err)
			}
		}
	}
	var remote *RemoteError
	if _, err := h.Fetch(testContext(t), protocol.Hash("absent"), 100, ids, FetchOptions{}); !errors.Is(err, ErrUnavailable) || !errors.As(err, &remote) || remote.Code != CodeNotFound {
		t.Fatalf("absent blob: %v", err)
	}
	if _, err := h.Fetch(testContext(t), protocol.Hash("absent"), 100, nil, FetchOptions{}); !errors.Is(err, ErrUnavailable) {
		t.Fatalf("no source: %v", err)
	}
}

// A liar is found out, blamed and worked around, whatever it lies about.
func TestFetchFromLiars(t *testing.T) {
	blob := randomBlob(1, 70*protocol.LeafSize+99)
	d := protocol.MerkleRoot(blob)
	flip := func(_ int64, p []byte) error { p[len(p)/2] ^= 1; return nil }
	for _, tc := range []struct {
		name   string
		serve  func(h *Host, honest *memory)
		badErr error
	}{
		{"wrong leaves", func(h *Host, _ *memory) {
			h.Handle(leavesCall, 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return make([]byte, 64), nil })
		}, ErrBadBlob},
		{"half a leaf hash", func(h *Host, _ *memory) {
			h.Handle(leavesCall, 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return make([]byte, 33), nil })
		}, ErrBadBlob},
		{"too many leaves", func(h *Host, _ *memory) {
			h.Handle(leavesCall, 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return make([]byte, 32*80), nil })
		}, ErrTooLarge},
		{"wrong data", func(h *Host, m *memory) {
			h.ServeBlobs(m)
			warm(t, h, m, d)
			m.damage = flip
		}, ErrBadBlob},
		{"short data", func(h *Host, m *memory) {
			h.ServeBlobs(m)
			h.Handle(rangeCall, rangeRequest, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return blob[:10], nil })
		}, ErrBadBlob},
		{"failing disk", func(h *Host, m *memory) {
			h.ServeBlobs(m)
			warm(t, h, m, d)
			m.damage = func(int64, []byte) error { return errors.New("I/O error") }
		}, ErrRemote},
		{"corrupt store", func(h *Host, m *memory) { m.damage = flip; h.ServeBlobs(m) }, ErrRemote},
		{"serves nothing", func(*Host, *memory) {}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			honest := newMemory(blob)
			h, ids := sources(t, honest)
			liar := newHost(t, 9, nil)
			tc.serve(liar, newMemory(blob))
			connect(t, h, liar)
			if _, err := h.Fetch(testContext(t), d, int64(len(blob)), []protocol.PeerID{liar.ID()}, FetchOptions{}); !errors.Is(err, ErrUnavailable) || tc.badErr != nil && !errors.Is(err, tc.badErr) {
				t.Fatalf("from the liar alone: %v", err)
			}
			blamed := 0
			got, err := h.Fetch(testContext(t), d, int64(len(blob)), []protocol.PeerID{liar.ID(), ids[0]}, FetchOptions{
				Blame: func(p protocol.PeerID, err error) {
					blamed++
					if p != liar.ID() {
						t.Errorf("blamed %s: %v", p, err)
					}
				},
			})
			if err != nil || !bytes.Equal(got, blob) || blamed > 1 {
				t.Fatalf("%d bytes, %v, blamed %d times", len(got), err, blamed)
			}
		})
	}
}

// warm makes the host hash the blob's leaves while its source is honest.
func warm(t *testing.T, h *Host, m *memory, d protocol.Digest) {
	t.Helper()
	if _, err := h.leafHashes(context.Background(), m, d); err != nil {
		t.Fatal(err)
	}
}

// More sources than work side by side: the last one serves when all others fail.
func TestFetchTriesEverySource(t *testing.T) {
	blob := randomBlob(2, 3*protocol.LeafSize)
	d := protocol.MerkleRoot(blob)
	var stores []BlobSource
	for range maxFetchSources + 1 {
		bad := newMemory(blob)
		bad.damage = func(_ int64, p []byte) error {
			if len(p) > protocol.LeafSize { // a range, not a leaf to be hashed
				return errors.New("gone")
			}
			return nil
		}
		stores = append(stores, bad)
	}
	h, ids := sources(t, append(stores, newMemory(blob))...)
	got, err := h.Fetch(testContext(t), d, 1<<20, ids, FetchOptions{})
	if err != nil || !bytes.Equal(got, blob) {
		t.Fatal(err)
	}
}

func TestFetchCancelled(t *testing.T) {
	h, ids := sources(t, newMemory())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := h.Fetch(ctx, protocol.Hash("x"), 1, ids, FetchOptions{}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// A blob's leaves are hashed once, however often they are asked for, and the cache stays within its bound.
func TestLeafCache(t *testing.T) {
	m := newMemory(randomBlob(3, 5*protocol.LeafSize))
	h := newHost(t, 0, nil)
	for d := range m.blobs {
		warm(t, h, m, d)
		reads := m.reads
		warm(t, h, m, d)
		if m.reads != reads {
			t.Fatalf("%d reads after %d", m.reads, reads)
		}
	}
	c := newLeafCache()
	list := make([]protocol.Digest, maxBlobLeaves/3)
	for i := range 10 {
		c.put(protocol.Hash(fmt.Sprint(i)), list)
	}
	if c.total > maxBlobLeaves || len(c.lists) != 3 || c.get(protocol.Hash("9")) == nil || c.get(protocol.Hash("0")) != nil {
		t.Fatalf("%d hashes in %d lists", c.total, len(c.lists))
	}
}

func TestRangeRequest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.IntRange(0, maxBlobLeaves-1).Draw(t, "first")
		count := rapid.IntRange(1, rangeLeaves).Draw(t, "count")
		d := protocol.Hash("x")
		gotD, gotFirst, gotCount, err := decodeRange(encodeRange(d, first, count))
		if err != nil || gotD != d || gotFirst != first || gotCount != count {
			t.Fatal(gotD, gotFirst, gotCount, err)
		}
	})
}

func FuzzDecodeRange(f *testing.F) {
	f.Add(encodeRange(protocol.Hash("x"), 3, 5))
	f.Add(bytes.Repeat([]byte{255}, rangeRequest))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, first, count, err := decodeRange(b)
		if err == nil && (first < 0 || first >= maxBlobLeaves || count < 1 || count > rangeLeaves || !bytes.Equal(encodeRange(d, first, count), b)) {
			t.Fatal(first, count)
		}
	})
}

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
	for i, size := range []int{0, 1, protocol.LeafSize, protocol.LeafSize + 1, pieceSize, 100*protocol.LeafSize + 7} {
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
	size := int64(len(blob))
	flip := func(_ int64, p []byte) error { p[len(p)/2] ^= 1; return nil }
	// answer serves this blob's pieces as edit makes them.
	answer := func(h *Host, m *memory, edit func(r *pieceReply)) {
		h.ServeBlobs(m)
		h.Handle(pieceCall, pieceRequest, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
			_, index, err := decodePieceRequest(req)
			if err != nil {
				return nil, err
			}
			p, err := h.readPiece(ctx, m, d, index)
			r := pieceReply{have: have{size: size}, proven: p}
			edit(&r)
			return r.append(nil), err
		})
	}
	says := func(h *Host, b []byte) {
		h.Handle(haveCall, 32, func(context.Context, protocol.PeerID, []byte) ([]byte, error) { return b, nil })
	}
	for _, tc := range []struct {
		name   string
		serve  func(h *Host, honest *memory)
		badErr error
	}{
		{"no size", func(h *Host, _ *memory) { says(h, make([]byte, 8)) }, ErrBadBlob},
		{"too few bits", func(h *Host, _ *memory) { says(h, have{size: 9 * pieceSize, set: pieceSet{1}}.append(nil)) }, ErrBadBlob},
		{"too large", func(h *Host, _ *memory) { says(h, have{size: size + 1}.append(nil)) }, ErrTooLarge},
		{"wrong size", func(h *Host, m *memory) {
			answer(h, m, func(r *pieceReply) { r.have.size--; r.proven.size-- })
			says(h, have{size: size - 1}.append(nil))
		}, ErrBadBlob},
		{"two sizes", func(h *Host, m *memory) { answer(h, m, func(r *pieceReply) { r.have.size-- }) }, ErrBadBlob},
		{"wrong data", func(h *Host, m *memory) { answer(h, m, func(r *pieceReply) { r.data[5] ^= 1 }) }, ErrBadBlob},
		{"short data", func(h *Host, m *memory) { answer(h, m, func(r *pieceReply) { r.data = r.data[1:] }) }, ErrBadBlob},
		{"wrong path", func(h *Host, m *memory) { answer(h, m, func(r *pieceReply) { r.nodes[0][0] ^= 1 }) }, ErrBadBlob},
		{"other piece", func(h *Host, m *memory) {
			answer(h, m, func(r *pieceReply) { r.proven, _ = h.readPiece(context.Background(), m, d, (r.index+1)%3) })
		}, ErrBadBlob},
		{"failing disk", func(h *Host, m *memory) {
			h.ServeBlobs(m)
			warm(t, h, m, d)
			m.damage = func(int64, []byte) error { return errors.New("I/O error") }
		}, ErrRemote},
		{"rotten disk", func(h *Host, m *memory) {
			h.ServeBlobs(m)
			warm(t, h, m, d)
			m.damage = flip
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
			if _, err := h.Fetch(testContext(t), d, size, []protocol.PeerID{liar.ID()}, FetchOptions{}); !errors.Is(err, ErrUnavailable) || tc.badErr != nil && !errors.Is(err, tc.badErr) {
				t.Fatalf("from the liar alone: %v", err)
			}
			if lied := errors.Is(tc.badErr, ErrBadBlob); h.blobs.conduct.shunned(liar.ID()) != lied {
				t.Errorf("shunned is not %v", lied)
			}
			h.blobs.conduct = newConduct()
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

// warm makes the host hash the blob while its source is honest.
func warm(t *testing.T, h *Host, m *memory, d protocol.Digest) {
	t.Helper()
	if _, _, err := h.pieceHashes(context.Background(), m, d); err != nil {
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
		bad.damage = func(int64, []byte) error { return errors.New("gone") }
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

// A blob is hashed once, however often it is asked for, and the cache stays within its bound.
func TestHashCache(t *testing.T) {
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
	c := newHashCache()
	list := make([]protocol.Digest, maxHashes/3)
	for i := range 10 {
		c.put(protocol.Hash(fmt.Sprint(i)), list)
	}
	if c.total > maxHashes || len(c.lists) != 3 || c.get(protocol.Hash("9")) == nil || c.get(protocol.Hash("0")) != nil {
		t.Fatalf("%d hashes in %d lists", c.total, len(c.lists))
	}
	c.forget(protocol.Hash("8"))
	if c.total != 2*len(list) || len(c.order) != 2 || c.get(protocol.Hash("8")) != nil {
		t.Fatalf("after forgetting one: %d hashes in %d lists", c.total, len(c.lists))
	}
}

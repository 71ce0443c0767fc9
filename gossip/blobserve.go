package gossip

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"drystone/protocol"
)

// Calls of the blob exchange, in which all numbers are big-endian:
//
//	leaves   digest[32]                             -> leaf hash[32] ...        one per 16 KiB leaf
//	range    digest[32] first uint32 count uint32   -> the leaves' bytes        16 KiB each but the blob's last
const (
	leavesCall    = "blob/leaves"
	rangeCall     = "blob/range"
	rangeLeaves   = 32      // leaves per range call: 512 KiB
	maxBlobLeaves = 1 << 18 // leaves of a blob: 4 GiB
	rangeRequest  = 32 + 4 + 4
)

// BlobSource is where blobs are served from. Its methods are safe for concurrent use and return fs.ErrNotExist
// (wrapped) for a blob that is not there. durable.Store is one.
type BlobSource interface {
	// Size returns the blob's size in bytes.
	Size(d protocol.Digest) (int64, error)
	// ReadAt reads as io.ReaderAt does. What it reads need not have been checked.
	ReadAt(d protocol.Digest, p []byte, off int64) (int, error)
}

// ServeBlobs lets peers of the run fetch any blob of src by its digest. A blob that does not match its digest is not served.
func (h *Host) ServeBlobs(src BlobSource) {
	h.Handle(leavesCall, 32, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		if len(req) != 32 {
			return nil, Errorf(CodeBad, "request of %d bytes, want 32", len(req))
		}
		hashes, err := h.leafHashes(ctx, src, protocol.Digest(req))
		if err != nil {
			return nil, err
		}
		out := make([]byte, 0, 32*len(hashes))
		for _, d := range hashes {
			out = append(out, d[:]...)
		}
		return out, nil
	})
	h.Handle(rangeCall, rangeRequest, func(_ context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		d, first, count, err := decodeRange(req)
		if err != nil {
			return nil, Errorf(CodeBad, "%v", err)
		}
		size, err := src.Size(d)
		if err != nil {
			return nil, blobError(d, err)
		}
		off := int64(first) * protocol.LeafSize
		if off >= size {
			return nil, Errorf(CodeBad, "leaf %d is past the end", first)
		}
		data := make([]byte, min(int64(count)*protocol.LeafSize, size-off))
		if _, err := src.ReadAt(d, data, off); err != nil && !errors.Is(err, io.EOF) {
			return nil, blobError(d, err)
		}
		return data, nil
	})
}

func encodeRange(d protocol.Digest, first, count int) []byte {
	b := append(make([]byte, 0, rangeRequest), d[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(first))
	return binary.BigEndian.AppendUint32(b, uint32(count))
}

func decodeRange(b []byte) (d protocol.Digest, first, count int, err error) {
	if len(b) != rangeRequest {
		return d, 0, 0, fmt.Errorf("request of %d bytes, want %d", len(b), rangeRequest)
	}
	first, count = int(binary.BigEndian.Uint32(b[32:])), int(binary.BigEndian.Uint32(b[36:]))
	if first >= maxBlobLeaves || count < 1 || count > rangeLeaves {
		return d, 0, 0, fmt.Errorf("leaves %d and %d more: want a first leaf below %d and 1 to %d leaves",
			first, count, maxBlobLeaves, rangeLeaves)
	}
	return protocol.Digest(b[:32]), first, count, nil
}

func blobError(d protocol.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return Errorf(CodeNotFound, "no blob %s here", d)
	}
	return err
}

// leafHashes returns the blob's leaf hashes, from the cache or by reading it once.
func (h *Host) leafHashes(ctx context.Context, src BlobSource, d protocol.Digest) ([]protocol.Digest, error) {
	size, err := src.Size(d)
	if err != nil {
		return nil, blobError(d, err)
	}
	n := (size + protocol.LeafSize - 1) / protocol.LeafSize
	if n > maxBlobLeaves {
		return nil, Errorf(CodeRefused, "blob of %d bytes is too large to serve", size)
	}
	if hashes := h.leaves.get(d); int64(len(hashes)) == n {
		return hashes, nil
	}
	hashes := make([]protocol.Digest, 0, n)
	leaf := make([]byte, protocol.LeafSize)
	for off := int64(0); off < size; off += protocol.LeafSize {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		part := leaf[:min(protocol.LeafSize, size-off)]
		if _, err := src.ReadAt(d, part, off); err != nil && !errors.Is(err, io.EOF) {
			return nil, blobError(d, err)
		}
		hashes = append(hashes, protocol.LeafHash(part))
	}
	if protocol.RootOf(hashes) != d {
		h.cfg.Logger.Error("blob not served: its content does not match its digest; delete it", "blob", d)
		return nil, Errorf(CodeNotFound, "no blob %s here", d)
	}
	h.leaves.put(d, hashes)
	return hashes, nil
}

// leafCache remembers the leaf hashes of blobs served lately, at most maxBlobLeaves hashes (8 MiB) in all.
type leafCache struct {
	mu    sync.Mutex
	total int
	order []protocol.Digest // oldest first
	lists map[protocol.Digest][]protocol.Digest
}

func newLeafCache() *leafCache { return &leafCache{lists: map[protocol.Digest][]protocol.Digest{}} }

func (c *leafCache) get(d protocol.Digest) []protocol.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lists[d]
}

func (c *leafCache) put(d protocol.Digest, hashes []protocol.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists[d] != nil || len(hashes) == 0 {
		return
	}
	c.lists[d] = hashes
	c.order = append(c.order, d)
	c.total += len(hashes)
	for c.total > maxBlobLeaves && len(c.order) > 1 {
		c.total -= len(c.lists[c.order[0]])
		delete(c.lists, c.order[0])
		c.order = c.order[1:]
	}
}

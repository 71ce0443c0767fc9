package gossip

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"drystone/protocol"
)

// BlobSource is where blobs are served from. Its methods are safe for concurrent use and return fs.ErrNotExist
// (wrapped) for a blob that is not there. durable.Store is one.
type BlobSource interface {
	// Size returns the blob's size in bytes.
	Size(d protocol.Digest) (int64, error)
	// ReadAt reads as io.ReaderAt does. What it reads need not have been checked.
	ReadAt(d protocol.Digest, p []byte, off int64) (int, error)
}

// blobExchange is a host's part in the exchange of blobs.
type blobExchange struct {
	up, down       *limiter
	uploads        *uploads
	conduct        *conduct
	sent, received atomic.Uint64 // bytes of calls of the exchange
	busy           atomic.Uint64

	hashing sync.Mutex // held while a blob is read for its hashes: one at a time
	hashes  *hashCache

	mu      sync.Mutex
	fetches map[protocol.Digest]*fetch // under way
}

func newBlobExchange(cfg Config) blobExchange {
	return blobExchange{
		up: newLimiter(cfg.Up), down: newLimiter(cfg.Down), uploads: newUploads(cfg.Up), conduct: newConduct(),
		hashes: newHashCache(), fetches: map[protocol.Digest]*fetch{},
	}
}

// partial returns the fetch of d that is under way, or nil.
func (b *blobExchange) partial(d protocol.Digest) *fetch {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fetches[d]
}

// ServeBlobs lets peers of the run fetch any blob of src by its digest, and the pieces of those that are being fetched. A
// blob or piece that does not match its digest is not served. Peers that were caught lying are not served.
func (h *Host) ServeBlobs(src BlobSource) {
	h.Handle(haveCall, 32, func(ctx context.Context, from protocol.PeerID, req []byte) ([]byte, error) {
		if len(req) != 32 {
			return nil, Errorf(CodeBad, "request of %d bytes, want 32", len(req))
		}
		if h.blobs.conduct.shunned(from) {
			return nil, errShunned()
		}
		have, err := h.have(ctx, src, protocol.Digest(req))
		return have.append(nil), err
	})
	h.lib.SetStreamHandler(h.protocolID("call", pieceCall), func(s network.Stream) {
		if !h.begin() {
			s.Reset()
			return
		}
		defer h.tasks.Done()
		if err := h.servePiece(s, src); err != nil {
			s.Reset()
			h.cfg.Logger.Debug("piece not served", "peer", s.Conn().RemotePeer(), "err", err)
		}
	})
}

func errShunned() error {
	return Errorf(CodeRefused, "this peer has sent wrong data or stalled; not now")
}

// have returns what is here of a blob: all of it, or what a fetch has.
func (h *Host) have(ctx context.Context, src BlobSource, d protocol.Digest) (have, error) {
	if size, hashes, err := h.pieceHashes(ctx, src, d); err == nil && len(hashes) > 0 {
		return have{size: size}, nil
	} else if f := h.blobs.partial(d); f != nil {
		if have, ok := f.have(); ok {
			return have, nil
		}
	} else if err != nil {
		return have{}, err
	}
	return have{}, Errorf(CodeNotFound, "no blob %s here", d)
}

// servePiece answers one request. Unlike other calls it writes slowly: its slot is freed, and its peer may have another
// answer, only when all is written. A peer that does not read is cut off and remembered.
func (h *Host) servePiece(s network.Stream, src BlobSource) error {
	from, err := PeerIDToProtocol(s.Conn().RemotePeer())
	if err != nil {
		return err
	}
	if err := s.SetDeadline(time.Now().Add(h.cfg.CallTimeout)); err != nil {
		return err
	}
	if !h.inbound.try(from) {
		return errors.Join(h.respond(s, from, pieceCall, nil, Errorf(CodeBusy, "too many calls are under way")), s.Close())
	}
	defer h.inbound.done(from)
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.CallTimeout)
	defer cancel()
	resp, release, err := h.pieceFor(ctx, s, from, src)
	defer release()
	slow := limitedWriter{ctx: ctx, w: s, limit: h.blobs.up, step: func(n int) {
		h.blobs.sent.Add(uint64(n))
		s.SetWriteDeadline(time.Now().Add(stallAfter)) // fails only when the write will
	}}
	if err := h.respond(slow, from, pieceCall, resp, err); err != nil {
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) && timeout.Timeout() && ctx.Err() == nil {
			h.blobs.conduct.blame(from, pointsStalled)
		}
		return err
	}
	return s.Close()
}

// pieceFor reads a request, waits for a slot and returns the answer. release frees the slot; it is never nil.
func (h *Host) pieceFor(ctx context.Context, r io.Reader, from protocol.PeerID, src BlobSource) (resp []byte, release func(), err error) {
	release = func() {}
	if h.blobs.conduct.shunned(from) {
		return nil, release, errShunned()
	}
	req, err := readFrame(r, pieceRequest)
	if err != nil {
		return nil, release, Errorf(CodeBad, "%v", err)
	}
	d, index, err := decodePieceRequest(req)
	if err != nil {
		return nil, release, Errorf(CodeBad, "%v", err)
	}
	have, err := h.have(ctx, src, d)
	if err != nil {
		return nil, release, err
	}
	if index >= pieces(have.size) || !have.has(index) {
		return nil, release, Errorf(CodeNotFound, "no piece %d of blob %s here", index, d)
	}
	wait, err := h.blobs.uploads.enter(ctx, from)
	if err != nil {
		return nil, release, err
	}
	if wait > 0 {
		h.blobs.busy.Add(1)
		return pieceReply{wait: wait, have: have}.append(nil), release, nil
	}
	release = func() { h.blobs.uploads.leave(from) }
	p, err := h.readPiece(ctx, src, d, index)
	if err != nil {
		return nil, release, err
	}
	return pieceReply{have: have, proven: p}.append(nil), release, nil
}

// readPiece reads a piece from the source or from the fetch that has it, with its path.
func (h *Host) readPiece(ctx context.Context, src BlobSource, d protocol.Digest, index int) (proven, error) {
	size, hashes, err := h.pieceHashes(ctx, src, d)
	if err != nil || index >= len(hashes) {
		if f := h.blobs.partial(d); f != nil {
			if p, ok := f.piece(index); ok {
				return p, nil
			}
		}
		return proven{}, Errorf(CodeNotFound, "no piece %d of blob %s here", index, d)
	}
	data := make([]byte, pieceBytes(size, index))
	if _, err := src.ReadAt(d, data, int64(index)*pieceSize); err != nil && !errors.Is(err, io.EOF) {
		return proven{}, blobError(d, err)
	}
	if protocol.MerkleRoot(data) != hashes[index] {
		h.blobs.hashes.forget(d)
		return proven{}, h.damaged(d)
	}
	return proven{index: index, size: size, nodes: protocol.PathTo(hashes, index).Nodes, data: data}, nil
}

func (h *Host) damaged(d protocol.Digest) error {
	h.cfg.Logger.Error("blob not served: its content does not match its digest; delete it", "blob", d)
	return Errorf(CodeNotFound, "no blob %s here", d)
}

func blobError(d protocol.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return Errorf(CodeNotFound, "no blob %s here", d)
	}
	return err
}

// pieceHashes returns the blob's size and the hashes of its pieces, from the cache or by reading it once.
func (h *Host) pieceHashes(ctx context.Context, src BlobSource, d protocol.Digest) (int64, []protocol.Digest, error) {
	size, err := src.Size(d)
	if err != nil {
		return 0, nil, blobError(d, err)
	}
	if size > maxBlobSize {
		return 0, nil, Errorf(CodeRefused, "blob of %d bytes is too large to serve", size)
	}
	if hashes := h.blobs.hashes.get(d); len(hashes) == pieces(size) {
		return size, hashes, nil
	}
	h.blobs.hashing.Lock()
	defer h.blobs.hashing.Unlock()
	if hashes := h.blobs.hashes.get(d); len(hashes) == pieces(size) {
		return size, hashes, nil
	}
	hashes := make([]protocol.Digest, 0, pieces(size))
	buf := make([]byte, min(size, pieceSize))
	for off := int64(0); off < size; off += pieceSize {
		if ctx.Err() != nil {
			return 0, nil, ctx.Err()
		}
		part := buf[:min(pieceSize, size-off)]
		if _, err := src.ReadAt(d, part, off); err != nil && !errors.Is(err, io.EOF) {
			return 0, nil, blobError(d, err)
		}
		hashes = append(hashes, protocol.MerkleRoot(part))
	}
	if protocol.RootOf(hashes) != d {
		return 0, nil, h.damaged(d)
	}
	h.blobs.hashes.put(d, hashes)
	return size, hashes, nil
}

// maxHashes bounds the hashes of pieces that are remembered, in all: 2 MiB.
const maxHashes = 1 << 16

// hashCache remembers the piece hashes of blobs served lately.
type hashCache struct {
	mu    sync.Mutex
	total int
	order []protocol.Digest // oldest first
	lists map[protocol.Digest][]protocol.Digest
}

func newHashCache() *hashCache { return &hashCache{lists: map[protocol.Digest][]protocol.Digest{}} }

func (c *hashCache) get(d protocol.Digest) []protocol.Digest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lists[d]
}

func (c *hashCache) put(d protocol.Digest, hashes []protocol.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lists[d] != nil || len(hashes) == 0 {
		return
	}
	c.lists[d] = hashes
	c.order = append(c.order, d)
	c.total += len(hashes)
	for c.total > maxHashes && len(c.order) > 1 {
		c.total -= len(c.lists[c.order[0]])
		delete(c.lists, c.order[0])
		c.order = c.order[1:]
	}
}

// forget drops a blob's hashes, so that it is read again before it is served again.
func (c *hashCache) forget(d protocol.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total -= len(c.lists[d])
	delete(c.lists, d)
	for i, o := range c.order {
		if o == d {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			break
		}
	}
}

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"drystone/internal/durable"
	"drystone/protocol"
)

// reveals keeps checked reveals on disk, one file per round, peer and shard. Each proves itself against its commit, so a
// file is checked again by whoever uses it. It is safe for concurrent use.
type reveals struct {
	dir string

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every put
}

func newReveals(dir string) *reveals { return &reveals{dir: dir, changed: make(chan struct{})} }

func (r *reveals) path(round uint32, peer protocol.PeerID, shard uint32) string {
	return filepath.Join(r.dir, fmt.Sprintf("%08d", round), fmt.Sprintf("%x-%06d.cbor", peer[1:], shard))
}

// put keeps a reveal that the caller has checked.
func (r *reveals) put(v *protocol.Reveal, encoded []byte) error {
	path := r.path(v.Round, v.Peer, v.Shard)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep reveal: %w", err)
	}
	if err := durable.WriteFile(path, encoded, 0o600); err != nil {
		return fmt.Errorf("keep reveal: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.changed)
	r.changed = make(chan struct{})
	return nil
}

// get returns a reveal's encoding, or nil if it is not here.
func (r *reveals) get(round uint32, peer protocol.PeerID, shard uint32) ([]byte, error) {
	data, err := os.ReadFile(r.path(round, peer, shard))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// wait returns a channel that is closed at the next put.
func (r *reveals) wait() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

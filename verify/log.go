package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"drystone/internal/durable"
	"drystone/protocol"
)

// MaxLeaf bounds one leaf of a Log, in bytes: a message of the protocol.
const MaxLeaf = protocol.MaxMessage

// Errors of a Log.
var (
	ErrFork    = errors.New("the log holds another leaf at that place")
	ErrGap     = errors.New("the log has not reached that place")
	ErrCorrupt = errors.New("the log on disk is damaged")
)

// Log is a transparency log: an RFC 6962 tree over byte strings, in one directory. It only grows. It is safe for
// concurrent use by one process; take durable.Lock of the directory, or of one above it, first.
type Log struct {
	mu     sync.RWMutex
	leaves *os.File
	hashes *os.File
	ends   []int64                    // ends[i] is where record i ends in leaves
	places map[protocol.Digest]uint64 // first place of each leaf hash
	failed error                      // a write failed: nothing more is appended until the log is opened again
}

// OpenLog opens the log in dir, or makes an empty one. A torn last record, which a crash leaves, is cut off; any other
// damage is ErrCorrupt.
func OpenLog(dir string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	l := &Log{places: map[protocol.Digest]uint64{}}
	var err error
	if l.leaves, err = openFile(filepath.Join(dir, "leaves")); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	if l.hashes, err = openFile(filepath.Join(dir, "hashes")); err != nil {
		return nil, errors.Join(fmt.Errorf("open log: %w", err), l.leaves.Close())
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open log in %s: %w", dir, err), l.Close())
	}
	return l, nil
}

// openFile opens a file, which it makes if absent, so that not even its name is lost in a crash.
func openFile(path string) (*os.File, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := durable.WriteFile(path, nil, 0o644); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_RDWR, 0o644)
}

// Close releases the files. The log is not used after it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed == nil {
		l.failed = os.ErrClosed
	}
	return errors.Join(l.leaves.Close(), l.hashes.Close())
}

// Append adds a leaf of 1 to MaxLeaf bytes as number seq, counted from 0, and returns when it is on the disk. A leaf that
// the log holds already at that place is accepted again, so that deliveries may be repeated. Errors: ErrFork for
// another leaf at a place taken, ErrGap for a place beyond the end. After a failed write the log refuses to grow until
// it is opened again.
func (l *Log) Append(seq uint64, leaf []byte) error {
	if len(leaf) == 0 || len(leaf) > MaxLeaf {
		return fmt.Errorf("log leaf %d has %d bytes, want 1 to %d", seq, len(leaf), MaxLeaf)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := uint64(len(l.ends))
	switch {
	case seq > size:
		return fmt.Errorf("append leaf %d to a log of %d: %w", seq, size, ErrGap)
	case seq < size:
		return l.same(seq, leaf)
	case l.failed != nil:
		return fmt.Errorf("append leaf %d: %w", seq, l.failed)
	}
	if err := l.grow(leaf); err != nil {
		l.failed = fmt.Errorf("log is read-only after a failed write: %w", err)
		return fmt.Errorf("append leaf %d: %w", seq, err)
	}
	return nil
}

func (l *Log) same(seq uint64, leaf []byte) error {
	h, err := l.readHashes([]int64{tlog.StoredHashIndex(0, int64(seq))})
	if err != nil {
		return err
	}
	if h[0] != tlog.RecordHash(leaf) {
		return fmt.Errorf("append leaf %d to a log of %d: %w", seq, len(l.ends), ErrFork)
	}
	return nil
}

// Size returns the number of leaves.
func (l *Log) Size() uint64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return uint64(len(l.ends))
}

// Root returns the root of the tree over the first size leaves.
func (l *Log) Root(size uint64) (protocol.Digest, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.within(size); err != nil {
		return protocol.Digest{}, err
	}
	if size == 0 {
		return protocol.RootOf(nil), nil
	}
	h, err := tlog.TreeHash(int64(size), tlog.HashReaderFunc(l.readHashes))
	return protocol.Digest(h), err
}

func (l *Log) within(size uint64) error {
	if size > uint64(len(l.ends)) {
		return fmt.Errorf("log of %d leaves asked about %d: %w", len(l.ends), size, ErrGap)
	}
	return nil
}

// Leaf returns leaf i.
func (l *Log) Leaf(i uint64) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.within(i + 1); i == ^uint64(0) || err != nil {
		return nil, fmt.Errorf("leaf %d of a log of %d: %w", i, len(l.ends), ErrGap)
	}
	return l.readLeaf(int(i))
}

// Find returns the first place of an equal leaf.
func (l *Log) Find(leaf []byte) (i uint64, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i, ok = l.places[protocol.LeafHash(leaf)]
	return i, ok
}

// Inclusion returns the path of leaf i to the root of the first size leaves.
func (l *Log) Inclusion(i, size uint64) (protocol.Path, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.within(size); err != nil {
		return protocol.Path{}, err
	}
	if i >= size {
		return protocol.Path{}, fmt.Errorf("leaf %d is not among the first %d: %w", i, size, ErrGap)
	}
	p, err := tlog.ProveRecord(int64(size), int64(i), tlog.HashReaderFunc(l.readHashes))
	if err != nil {
		return protocol.Path{}, fmt.Errorf("prove leaf %d of %d: %w", i, size, err)
	}
	return protocol.Path{Index: i, Size: size, Nodes: digests(p)}, nil
}

// Consistency returns the RFC 6962 proof that the tree of the first m leaves is a prefix of that of the first n.
func (l *Log) Consistency(m, n uint64) ([]protocol.Digest, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if err := l.within(n); err != nil {
		return nil, err
	}
	if m == 0 || m > n {
		return nil, fmt.Errorf("consistency of %d and %d leaves: want 1 <= m <= n", m, n)
	}
	p, err := tlog.ProveTree(int64(n), int64(m), tlog.HashReaderFunc(l.readHashes))
	if err != nil {
		return nil, fmt.Errorf("prove %d a prefix of %d: %w", m, n, err)
	}
	return digests(p), nil
}

// CheckConsistency verifies what Consistency returns.
func CheckConsistency(m, n uint64, rootM, rootN protocol.Digest, proof []protocol.Digest) error {
	if m == 0 || m > n || n > 1<<48 {
		return fmt.Errorf("consistency of %d and %d leaves: want 1 <= m <= n", m, n)
	}
	tp := make(tlog.TreeProof, len(proof))
	for i, d := range proof {
		tp[i] = tlog.Hash(d)
	}
	if err := tlog.CheckTree(tp, int64(n), tlog.Hash(rootN), int64(m), tlog.Hash(rootM)); err != nil {
		return fmt.Errorf("log of %d leaves is no prefix of that of %d: %w", m, n, err)
	}
	return nil
}

// Tile returns the bytes of a tile of hashes (tlog.Tile with H of 1 to 30 and L of at least 0), for serving the log as tlog tiles.
func (l *Log) Tile(t tlog.Tile) ([]byte, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if t.H < 1 || t.H > 30 || t.L < 0 || t.L*t.H > 48 || t.N < 0 || t.N > 1<<48 || t.W < 1 || t.W > 1<<t.H {
		return nil, fmt.Errorf("no such tile: %+v", t)
	}
	first, width := (t.N<<t.H)<<(t.L*t.H), int64(t.W)<<(t.L*t.H)
	if first < 0 || width < 0 || first+width > int64(len(l.ends)) {
		return nil, fmt.Errorf("tile %s of a log of %d: %w", t.Path(), len(l.ends), ErrGap)
	}
	return tlog.ReadTileData(t, tlog.HashReaderFunc(l.readHashes))
}

func digests(hs []tlog.Hash) []protocol.Digest {
	ds := make([]protocol.Digest, len(hs))
	for i, h := range hs {
		ds[i] = protocol.Digest(h)
	}
	return ds
}

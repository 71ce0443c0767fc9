package durable

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"drystone/protocol"
)

// Errors of a Store.
var (
	// ErrNotFound means that the store holds no blob of that digest. It is also fs.ErrNotExist.
	ErrNotFound = fmt.Errorf("no such blob: %w", fs.ErrNotExist)
	// ErrCorrupt means that a file's content is not what its name says. The error names the file; Put of the right
	// content repairs it, Delete removes it.
	ErrCorrupt = errors.New("corrupt blob")
	// ErrTooLarge means that a blob exceeds the caller's limit.
	ErrTooLarge = errors.New("blob exceeds the limit")
)

// Store is a content-addressed blob store in one directory. It is safe for concurrent use.
type Store struct {
	dir string
}

// OpenStore opens the store in dir, makes it if absent, and removes temporary files that killed processes left, and
// parts of blobs beyond the newest eight. The caller holds the Lock of dir or of a directory above it.
func OpenStore(dir string) (*Store, error) {
	if err := mkdir(dir); err != nil {
		return nil, err
	}
	shards, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	for _, e := range shards {
		if e.IsDir() && len(e.Name()) == 2 {
			if err := sweep(filepath.Join(dir, e.Name())); err != nil {
				return nil, fmt.Errorf("open blob store: %w", err)
			}
		}
	}
	s := &Store{dir: dir}
	if err := s.prune(); err != nil {
		return nil, fmt.Errorf("open blob store: %w", err)
	}
	return s, nil
}

func (s *Store) path(d protocol.Digest) string {
	name := d.String()
	return filepath.Join(s.dir, name[:2], name[2:])
}

// Put stores data durably and returns its digest. If the store holds it already, Put compares the bytes, and rewrites a
// file that differs.
func (s *Store) Put(data []byte) (protocol.Digest, error) {
	d := protocol.MerkleRoot(data)
	path := s.path(d)
	if same, err := holds(path, data); err != nil {
		return protocol.Digest{}, fmt.Errorf("put blob: %w", err)
	} else if same {
		return d, nil
	}
	if err := mkdir(filepath.Dir(path)); err != nil {
		return protocol.Digest{}, fmt.Errorf("put blob: %w", err)
	}
	if err := WriteFile(path, data, 0o600); err != nil {
		return protocol.Digest{}, fmt.Errorf("put blob: %w", err)
	}
	return d, nil
}

// holds reports whether the file at path has exactly this content. An unreadable file counts as different content.
func holds(path string, data []byte) (bool, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || st.Size() != int64(len(data)) {
		return false, err
	}
	buf := make([]byte, min(len(data), 1<<20))
	for len(data) > 0 {
		n := min(len(buf), len(data))
		if _, err := io.ReadFull(f, buf[:n]); err != nil || !bytes.Equal(buf[:n], data[:n]) {
			return false, nil
		}
		data = data[n:]
	}
	return true, nil
}

// Get returns the blob d of at most maxSize bytes, checked against its digest. Errors: ErrNotFound, ErrTooLarge (before
// anything is read), ErrCorrupt.
func (s *Store) Get(d protocol.Digest, maxSize int64) ([]byte, error) {
	b, err := s.Open(d)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	if b.size > maxSize {
		return nil, fmt.Errorf("blob %s has %d bytes, limit %d: %w", d, b.size, maxSize, ErrTooLarge)
	}
	data := make([]byte, b.size)
	if _, err := io.ReadFull(b.f, data); err != nil {
		return nil, fmt.Errorf("read blob %s: %w", b.f.Name(), err)
	}
	if got := protocol.MerkleRoot(data); got != d {
		return nil, fmt.Errorf("%w: %s holds data of digest %s: delete the file or fetch the blob again",
			ErrCorrupt, b.f.Name(), got)
	}
	return data, nil
}

// Has reports whether the store has a file for d. It does not check the content.
func (s *Store) Has(d protocol.Digest) bool {
	_, err := s.Size(d)
	return err == nil
}

// Size returns the size in bytes of blob d, or ErrNotFound.
func (s *Store) Size(d protocol.Digest) (int64, error) {
	st, err := os.Stat(s.path(d))
	if err != nil {
		return 0, notFound(d, err)
	}
	return st.Size(), nil
}

// ReadAt reads len(p) bytes of blob d from offset off, as io.ReaderAt does, without checking them: who reads ranges
// checks leaves against the digest.
func (s *Store) ReadAt(d protocol.Digest, p []byte, off int64) (int, error) {
	b, err := s.Open(d)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	return b.ReadAt(p, off)
}

// Delete removes blob d. To delete what is not there is no error.
func (s *Store) Delete(d protocol.Digest) error {
	if err := os.Remove(s.path(d)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete blob %s: %w", d, err)
	}
	return nil
}

// Blob is an open blob for ranged reads, which are not checked against the digest. Close it.
type Blob struct {
	f    *os.File
	size int64
}

// Open opens blob d, or returns ErrNotFound.
func (s *Store) Open(d protocol.Digest) (*Blob, error) {
	f, err := os.Open(s.path(d))
	if err != nil {
		return nil, notFound(d, err)
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	return &Blob{f: f, size: st.Size()}, nil
}

// Size returns the blob's size in bytes.
func (b *Blob) Size() int64 { return b.size }

// ReadAt implements io.ReaderAt.
func (b *Blob) ReadAt(p []byte, off int64) (int, error) { return b.f.ReadAt(p, off) }

// Close releases the file.
func (b *Blob) Close() error { return b.f.Close() }

func notFound(d protocol.Digest, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	return fmt.Errorf("open blob %s: %w", d, err)
}

package trial

import (
	"io"
	"sync"
	"syscall"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"
)

// Ways in which a disk fails.
const (
	diskSync  = "fsync" // an fsync fails, and what was written since the last one is lost, as kernels drop such pages
	diskWrite = "write" // a write is torn: half of the bytes arrive, and there is no room for the rest
)

// failingDisk is the file system under a member's log, which fails from a command on.
type failingDisk struct {
	types.VFS

	mu  sync.Mutex // guards how, and the writes under way
	how string
}

func newFailingDisk() *failingDisk { return &failingDisk{VFS: walfs.New()} }

func (d *failingDisk) fail(how string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.how = how
}

func (d *failingDisk) wrap(f types.WritableFile, err error) (types.WritableFile, error) {
	if err != nil {
		return nil, err
	}
	return &failingFile{WritableFile: f, d: d}, nil
}

func (d *failingDisk) Create(dir, name string, size uint64) (types.WritableFile, error) {
	return d.wrap(d.VFS.Create(dir, name, size))
}

func (d *failingDisk) OpenWriter(dir, name string) (types.WritableFile, error) {
	return d.wrap(d.VFS.OpenWriter(dir, name))
}

type failingFile struct {
	types.WritableFile
	d     *failingDisk
	dirty []extent // written since the last fsync
}

type extent struct {
	at  int64
	old []byte // what was there before
}

func (f *failingFile) WriteAt(b []byte, at int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.how == diskWrite {
		n, _ := f.WritableFile.WriteAt(b[:len(b)/2], at)
		return n, syscall.ENOSPC
	}
	old := make([]byte, len(b))
	if n, err := f.WritableFile.ReadAt(old, at); err != nil && err != io.EOF {
		old = old[:n]
	}
	f.dirty = append(f.dirty, extent{at, old})
	return f.WritableFile.WriteAt(b, at)
}

func (f *failingFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.how != diskSync {
		f.dirty = nil
		return f.WritableFile.Sync()
	}
	for i := len(f.dirty) - 1; i >= 0; i-- {
		f.WritableFile.WriteAt(f.dirty[i].old, f.dirty[i].at)
	}
	f.dirty = nil
	return syscall.EIO
}

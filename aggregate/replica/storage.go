package replica

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/metadb"
	"github.com/hashicorp/raft-wal/segment"
	"github.com/hashicorp/raft-wal/types"

	"drystone/internal/durable"
)

// walSegment is the size in bytes of a log segment, which is allocated in advance.
const walSegment = 8 << 20

// What bounds the disk, as the package comment says.
const (
	keepSnapshots   = 2
	snapshotEvery   = 4096             // records
	snapshotReview  = 10 * time.Second // at least, twice that at most, between looks whether a snapshot is due
	trailingRecords = 16384            // records that stay behind a snapshot
)

// storage is what a member keeps on disk:
//
//	dir/LOCK         held while the replica is open
//	dir/wal/         raft-wal: segments and wal-meta.db
//	dir/raft.db      instead of wal/ on Windows: see boltLog
//	dir/snapshots/   raft's file snapshots
type storage struct {
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	meta      io.Closer // the WAL's bbolt file; nil without one
	release   []func() error
}

// openStorage takes the lock before it opens anything: bbolt, also inside the WAL, would wait for ever on a file that is
// in use.
// vfs is what the WAL writes to, nil for the file system, in segments of so many bytes, 0 for walSegment.
func openStorage(dir string, logger hclog.Logger, vfs types.VFS, segment int) (*storage, error) {
	if runtime.GOOS == "windows" { // raft-wal wants to fsync directories
		return openStorageWith(dir, logger, (*storage).openBolt)
	}
	return openStorageWith(dir, logger, func(s *storage, dir string, logger hclog.Logger) error {
		return s.openWAL(dir, logger, vfs, segment)
	})
}

func openStorageWith(dir string, logger hclog.Logger, openLog func(*storage, string, hclog.Logger) error) (*storage, error) {
	unlock, err := durable.Lock(dir)
	if err != nil {
		return nil, err
	}
	s := &storage{release: []func() error{unlock}}
	err = openLog(s, dir, logger)
	if err == nil {
		s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, logger)
	}
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *storage) openWAL(dir string, logger hclog.Logger, vfs types.VFS, size int) error {
	walDir := filepath.Join(dir, "wal")
	if err := os.MkdirAll(walDir, 0o700); err != nil {
		return err
	}
	// The WAL's own Close leaves its bbolt file open, so the file is ours to close, after the WAL.
	meta := &metadb.BoltMetaDB{}
	s.meta = meta
	s.release = append(s.release, meta.Close)
	if vfs == nil {
		vfs = walfs.New()
	}
	if size == 0 {
		size = walSegment
	}
	w, err := wal.Open(walDir, wal.WithMetaStore(meta), wal.WithSegmentFiler(segment.NewFiler(walDir, vfs)),
		wal.WithSegmentSize(size), wal.WithLogger(logger))
	if err != nil {
		return fmt.Errorf("open log in %s: %w", walDir, err)
	}
	s.release = append(s.release, w.Close)
	s.log, s.stable = w, w
	return nil
}

func (s *storage) openBolt(dir string, _ hclog.Logger) error {
	b, err := openBolt(dir)
	if err != nil {
		return err
	}
	s.release = append(s.release, b.close)
	s.log, s.stable = b, b
	return nil
}

// close closes everything in the reverse order of opening.
func (s *storage) close() (err error) {
	for i := len(s.release) - 1; i >= 0; i-- {
		err = errors.Join(err, s.release[i]())
	}
	s.release = nil
	return err
}

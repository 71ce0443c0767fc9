package replica

import (
	"errors"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"drystone/internal/durable"
)

// keepSnapshots is how many snapshots stay on disk.
const keepSnapshots = 2

// storage is what a member keeps on disk:
//
//	dir/LOCK         held while the replica is open
//	dir/raft.db      see boltLog
//	dir/snapshots/   raft's file snapshots
type storage struct {
	log       raft.LogStore
	stable    raft.StableStore
	snapshots raft.SnapshotStore
	release   []func() error
}

// openStorage takes the lock before it opens anything, so that a second replica is told at once.
func openStorage(dir string, logger hclog.Logger) (*storage, error) {
	unlock, err := durable.Lock(dir)
	if err != nil {
		return nil, err
	}
	s := &storage{release: []func() error{unlock}}
	if err := s.open(dir, logger); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *storage) open(dir string, logger hclog.Logger) error {
	b, err := openBolt(dir)
	if err != nil {
		return err
	}
	s.release = append(s.release, b.close)
	s.log, s.stable = b, b
	s.snapshots, err = raft.NewFileSnapshotStoreWithLogger(dir, keepSnapshots, logger)
	return err
}

// close closes everything in the reverse order of opening.
func (s *storage) close() (err error) {
	for i := len(s.release) - 1; i >= 0; i-- {
		err = errors.Join(err, s.release[i]())
	}
	s.release = nil
	return err
}

package durable

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/gofrs/flock"
)

// ErrLocked means that another process, or another Lock of this one, holds the directory.
var ErrLocked = errors.New("the data directory is in use")

// lockName is the file that Lock holds. It stays behind after release: to remove it would let two processes lock two
// different files of one name.
const lockName = "LOCK"

// Lock takes exclusive use of a data directory, which it makes if absent, without waiting. The operating system drops
// the lock when the process dies, however it dies. release is called once.
func Lock(dir string) (release func() error, err error) {
	if err := mkdir(dir); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(dir, lockName))
	ok, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s: stop the other drystone process or choose another data directory", ErrLocked, dir)
	}
	return func() error {
		if err := l.Unlock(); err != nil {
			return fmt.Errorf("unlock data directory %s: %w", dir, err)
		}
		return nil
	}, nil
}

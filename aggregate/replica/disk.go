package replica

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/hashicorp/raft"
)

// ErrDisk is wrapped by Err after the log could not be written or read. What was acknowledged before is on the disk.
var ErrDisk = errors.New("the disk failed")

// guarded stands between Raft and its stores, and ends the member at their first failure: after a write or fsync that
// failed, nobody knows what is on the disk, and a second try that succeeds proves nothing about the first (Rebello et
// al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020). So everything that writes is refused until the
// log is opened again.
//
// Raft panics where it cannot go on without its term or an entry. There the guard ends the calling goroutine instead, with
// its deferred calls, which leaves Raft able to shut down.
type guarded struct {
	log    raft.LogStore
	stable raft.StableStore
	report func(error) // called once, must not wait for Raft

	mu     sync.Mutex
	failed error
}

var (
	_ raft.LogStore          = (*guarded)(nil)
	_ raft.StableStore       = (*guarded)(nil)
	_ raft.MonotonicLogStore = (*guarded)(nil)
)

// IsMonotonic passes on what raft-wal demands: that a log which a snapshot replaces be dropped whole, without a gap.
func (g *guarded) IsMonotonic() bool {
	m, ok := g.log.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

// note remembers the first failure and reports it.
func (g *guarded) note(what string, err error) error {
	err = fmt.Errorf("%w: %s: %w", ErrDisk, what, err)
	g.mu.Lock()
	first := g.failed == nil
	if first {
		g.failed = err
	}
	g.mu.Unlock()
	if first {
		g.report(err)
	}
	return err
}

func (g *guarded) failure() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.failed
}

// write runs a change of a store, unless one has failed before.
func (g *guarded) write(what string, fn func() error) error {
	if err := g.failure(); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return g.note(what, err)
	}
	return nil
}

// must is write for what Raft would panic about.
func (g *guarded) must(what string, fn func() error) error {
	if g.write(what, fn) != nil {
		runtime.Goexit()
	}
	return nil
}

func (g *guarded) FirstIndex() (uint64, error) { return g.log.FirstIndex() }
func (g *guarded) LastIndex() (uint64, error)  { return g.log.LastIndex() }

func (g *guarded) GetLog(index uint64, l *raft.Log) error {
	err := g.log.GetLog(index, l)
	if err != nil && !errors.Is(err, raft.ErrLogNotFound) {
		g.note(fmt.Sprintf("read record %d", index), err)
		runtime.Goexit()
	}
	return err
}

func (g *guarded) StoreLog(l *raft.Log) error { return g.StoreLogs([]*raft.Log{l}) }

func (g *guarded) StoreLogs(logs []*raft.Log) error {
	return g.write("append to the log", func() error { return g.log.StoreLogs(logs) })
}

func (g *guarded) DeleteRange(min, max uint64) error {
	return g.write("truncate the log", func() error { return g.log.DeleteRange(min, max) })
}

func (g *guarded) Set(key, value []byte) error {
	return g.must("save "+string(key), func() error { return g.stable.Set(key, value) })
}

func (g *guarded) SetUint64(key []byte, v uint64) error {
	return g.must("save "+string(key), func() error { return g.stable.SetUint64(key, v) })
}

func (g *guarded) Get(key []byte) ([]byte, error)       { return g.stable.Get(key) }
func (g *guarded) GetUint64(key []byte) (uint64, error) { return g.stable.GetUint64(key) }

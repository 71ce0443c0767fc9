package replica

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/raft"

	"drystone/aggregate"
)

// errBroken is what a machine answers after a panic: its state is no longer known to be whole.
var errBroken = errors.New("state machine is broken, see the log; restart from a snapshot with a corrected program")

// fsm is the machine as Raft sees it. Raft calls Apply, Snapshot and Restore from one goroutine.
type fsm struct {
	onApply func(Applied)
	log     *slog.Logger
	time    *timekeeper
	changed notice

	mu      sync.RWMutex // guards what follows
	machine *aggregate.Machine
	broken  bool
}

func newFSM(m *aggregate.Machine, t *timekeeper, onApply func(Applied), log *slog.Logger) *fsm {
	if onApply == nil {
		onApply = func(Applied) {}
	}
	return &fsm{machine: m, time: t, onApply: onApply, log: log}
}

// Apply returns nil or the machine's refusal, which Raft hands to the proposer.
func (f *fsm) Apply(l *raft.Log) any {
	if l.Type != raft.LogCommand {
		return nil
	}
	a, err := f.apply(l)
	if err != nil {
		return err
	}
	f.deliver(a)
	return nil
}

func (f *fsm) apply(l *raft.Log) (a Applied, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return a, errBroken
	}
	defer func() {
		if p := recover(); p != nil {
			f.broken = true
			f.log.Error("state machine panicked; it stops here", "index", l.Index, "panic", p, "stack", string(debug.Stack()))
			err = errBroken
		}
	}()
	fx, err := f.machine.Apply(l.Data)
	if err != nil {
		return a, err
	}
	a = Applied{Index: l.Index, Effects: fx}
	a.LogSize, a.LogRoot = f.machine.Log()
	f.time.applied(f.machine.LoggedMilli())
	return a, nil
}

// deliver hands an effect out and then wakes whoever waits for a change.
func (f *fsm) deliver(a Applied) {
	defer f.changed.fire()
	defer func() {
		if p := recover(); p != nil {
			f.log.Error("OnApply panicked; its record may be half stored", "index", a.Index, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	f.onApply(a)
}

func (f *fsm) read(fn func(*aggregate.Machine)) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	fn(f.machine)
}

// Snapshot encodes the state at once: it is small, and Apply may change it right after.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.broken {
		return nil, errBroken
	}
	b, err := f.machine.Snapshot()
	return snapshot(b), err
}

// Restore replaces the state by a snapshot's.
func (f *fsm) Restore(rc io.ReadCloser) error {
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, aggregate.MaxSnapshot+1))
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	f.mu.Lock()
	err = f.machine.Restore(b)
	a := Applied{Restored: true}
	if err == nil {
		f.broken = false
		a.LogSize, a.LogRoot = f.machine.Log()
		f.time.applied(f.machine.LoggedMilli())
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	f.deliver(a)
	return nil
}

// snapshot is an encoded state.
type snapshot []byte

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

func (s snapshot) Release() {}

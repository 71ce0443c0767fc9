package replica

import (
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/raft"
)

// ErrRemoved is wrapped by Err when the certified set of aggregators no longer holds this member.
var ErrRemoved = errors.New("this aggregator is no longer one of the run")

// Done is closed when the replica has stopped by itself: Err says why. It takes no part in the group any more and serves
// Read only; Close releases it. After Close alone Done stays open.
func (r *Replica) Done() <-chan struct{} { return r.done }

// Err returns why the replica stopped by itself, an error that wraps ErrDisk or ErrRemoved, and nil before.
func (r *Replica) Err() error {
	if err := context.Cause(r.ctx); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// fail stops the replica for good. It returns at once; Done follows.
func (r *Replica) fail(err error) {
	r.failing.Do(func() {
		r.cancel(err)
		go func() { // ends with Raft, which Close waits for as well
			<-r.opened
			if r.raft == nil {
				return // Open failed, and says why
			}
			r.stopRaft()
			if r.Err() != nil {
				close(r.done)
			}
		}()
	})
}

// stopRaft returns when Raft has stopped.
func (r *Replica) stopRaft() { r.stopping.Do(func() { r.raft.Shutdown().Error() }) }

// TransferLeadership hands leadership to the member with the longest log, so that maintenance of this one costs the run no
// election. It is nil at once at a member that does not lead. It fails if no other member takes over within
// Timing.Election; this one then leads on.
func (r *Replica) TransferLeadership(ctx context.Context) error {
	if !r.leads() {
		return nil
	}
	result := make(chan error, 1)
	if !r.goTask(func() { result <- r.raft.LeadershipTransfer().Error() }) {
		return ErrClosed
	}
	select {
	case err := <-result:
		if err != nil && r.leads() {
			return fmt.Errorf("hand over leadership: %w", err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops the replica, waits for its goroutines and releases the directory. A leader hands leadership over first.
// Proposals in flight end before, at the latest when Raft gives them up after Timing.Lease. A second Close does nothing.
// OnApply must not call it.
func (r *Replica) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	r.mu.Unlock()
	if r.leads() && r.others() {
		if err := r.raft.LeadershipTransfer().Error(); err != nil {
			r.log.Debug("closing as the leader", "err", err)
		}
	}
	r.cancel(ErrClosed)
	// Before Raft stops: it forgets the futures of records that are committed and not yet applied.
	r.tasks.Wait()
	r.stopRaft()
	if err := r.undo(); err != nil {
		return fmt.Errorf("close replica in %s: %w", r.cfg.Dir, err)
	}
	return nil
}

// others reports whether anybody else has a vote.
func (r *Replica) others() bool {
	for _, s := range r.raft.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter && s.ID != serverID(r.cfg.Self) {
			return true
		}
	}
	return false
}

// undo releases what start opened.
func (r *Replica) undo() (err error) {
	r.cancel(ErrClosed)
	for i := len(r.release) - 1; i >= 0; i-- {
		err = errors.Join(err, r.release[i]())
	}
	r.release = nil
	return err
}

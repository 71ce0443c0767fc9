package replica

import (
	"sync"
	"time"

	"drystone/aggregate"
)

// Clock is where the logged time comes from. Its methods are safe for concurrent use.
type Clock interface {
	Now() time.Time         // the time of day; read once in a run, for its first Tick
	Elapsed() time.Duration // since some moment in the past; never jumps, whatever happens to the time of day
}

type systemClock struct{ start time.Time }

func (c systemClock) Now() time.Time         { return time.Now() }
func (c systemClock) Elapsed() time.Duration { return time.Since(c.start) }

// timekeeper continues the logged time: the time of the last Tick and what has elapsed since this member saw it applied.
// So a leader's wrong or jumping time of day ends no phase, a new leader goes on where the old one was, and time in which
// no member ran does not count.
type timekeeper struct {
	clock Clock

	mu     sync.Mutex
	logged int64         // milliseconds since 1970 of the last Tick applied; 0 for none
	at     time.Duration // Elapsed then
	asked  int64         // the Tick that this member proposed last
	read   time.Duration // Elapsed when it was computed
}

// applied notes the logged time after a record.
func (k *timekeeper) applied(logged int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if logged == k.logged {
		return
	}
	k.logged, k.at = logged, k.clock.Elapsed()
	if logged == k.asked {
		k.at = k.read // the clock ran on while Raft decided
	}
}

// now returns the time to log, in milliseconds since 1970.
func (k *timekeeper) now() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	elapsed := k.clock.Elapsed()
	if k.logged == 0 {
		k.asked = k.clock.Now().UnixMilli()
	} else {
		k.asked = k.logged + (elapsed - k.at).Milliseconds()
	}
	k.read = elapsed
	return k.asked
}

// ticker proposes a Tick at the leader whenever the machine's deadline has passed.
func (r *Replica) ticker() {
	t := time.NewTicker(r.cfg.Timing.Tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-r.ctx.Done():
			return
		}
		if !r.leads() {
			continue
		}
		if now, due := r.tickDue(); due {
			if err := r.raftApply(aggregate.TickRecord(now)); err != nil {
				r.log.Debug("tick not applied", "err", err)
			}
		}
	}
}

// tickDue returns the time to log, and whether a Tick with it would change the machine.
func (r *Replica) tickDue() (now int64, due bool) {
	now = r.time.now()
	r.Read(func(m *aggregate.Machine) {
		now = min(now, m.LastTick())
		deadline, ok := m.Deadline()
		due = ok && now > m.LoggedMilli() && now >= deadline.UnixMilli()
	})
	return now, due
}

package replica

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	walfs "github.com/hashicorp/raft-wal/fs"
	"github.com/hashicorp/raft-wal/types"

	"drystone/aggregate"
)

func poll() <-chan time.Time { return time.After(20 * time.Millisecond) }

// A leader that hands over, or closes, costs no election: another leads at once, in the next term.
func TestTransferLeadership(t *testing.T) {
	g := newGroup(t, false, short)
	g.begin()
	for n := range 3 {
		l := g.leader()
		term := g.reps[l].raft.CurrentTerm()
		for i, r := range g.reps {
			if r != nil && i != l {
				if err := r.TransferLeadership(g.ctx()); err != nil {
					t.Errorf("a follower has nothing to hand over: %v", err)
				}
			}
		}
		if n < 2 {
			if err := g.reps[l].TransferLeadership(g.ctx()); err != nil {
				t.Fatal(err)
			}
		} else {
			g.shut(l)
		}
		next := g.leader()
		if next == l || g.reps[next].raft.CurrentTerm() != term+1 {
			t.Errorf("%d leads after %d, in term %d after %d", next, l, g.reps[next].raft.CurrentTerm(), term)
		}
	}
}

// A time of day that jumps by an hour, either way, at the leader ends no phase and holds up none.
func TestClockJumps(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		g := newGroup(t, false, short)
		g.startNodes()
		g.begin()
		v := g.until(0, "train", phase(aggregate.PhaseTrain, 0))
		g.propose(0, g.w.Commit(v, 0, "honest"))
		v = g.until(0, "a running timer", func(v aggregate.View) bool { return v.Deadline != 0 })
		g.clock.jump(jump)
		g.clock.advance(59 * time.Second)
		l := g.leader()
		if now, due := g.reps[l].tickDue(); due || now-v.LoggedMilli > 60_000 {
			t.Fatalf("jump of %s: the phase is over after %d ms", jump, now-v.LoggedMilli)
		}
		g.clock.advance(time.Second)
		g.until(0, "the next round", func(v aggregate.View) bool { return v.Round == 1 })
	}
}

// A member that leads goes on with the logged time where the last leader was, whatever the time of day is.
func TestTimekeeper(t *testing.T) {
	c := &clock{now: time.Unix(1000, 0)}
	k := timekeeper{clock: c}
	if got := k.now(); got != 1_000_000 {
		t.Errorf("the first time is %d", got)
	}
	c.advance(time.Second) // Raft decides
	k.applied(1_000_000)
	if got := k.now(); got != 1_001_000 {
		t.Errorf("after a second: %d", got)
	}
	k.applied(5_000_000) // another leader's
	c.jump(-time.Hour)
	c.advance(time.Minute)
	if got := k.now(); got != 5_060_000 {
		t.Errorf("a minute after another leader's Tick: %d", got)
	}
}

// brokenDisk is a file system whose segments fail from some moment on.
type brokenDisk struct {
	types.VFS
	sync, write atomic.Bool // what fails
}

func newBrokenDisk() *brokenDisk { return &brokenDisk{VFS: walfs.New()} }

type brokenFile struct {
	types.WritableFile
	d *brokenDisk
}

func (d *brokenDisk) wrap(f types.WritableFile, err error) (types.WritableFile, error) {
	if err != nil {
		return nil, err
	}
	return brokenFile{f, d}, nil
}

func (d *brokenDisk) Create(dir, name string, size uint64) (types.WritableFile, error) {
	return d.wrap(d.VFS.Create(dir, name, size))
}

func (d *brokenDisk) OpenWriter(dir, name string) (types.WritableFile, error) {
	return d.wrap(d.VFS.OpenWriter(dir, name))
}

func (f brokenFile) Sync() error {
	if f.d.sync.Load() {
		return syscall.EIO
	}
	return f.WritableFile.Sync()
}

// WriteAt tears: half of the bytes arrive.
func (f brokenFile) WriteAt(b []byte, at int64) (int, error) {
	if f.d.write.Load() {
		n, _ := f.WritableFile.WriteAt(b[:len(b)/2], at)
		return n, syscall.ENOSPC
	}
	return f.WritableFile.WriteAt(b, at)
}

// A member whose fsync fails, or whose write is torn by a full disk, stops with an error instead of a panic, whether it
// leads or follows, and never acknowledges again. The others go on. With a sound disk it comes back, with all that the
// group has acknowledged, and without half records.
func TestDiskFails(t *testing.T) {
	for name, fault := range map[string]func(*brokenDisk){
		"fsync":      func(d *brokenDisk) { d.sync.Store(true) },
		"torn write": func(d *brokenDisk) { d.write.Store(true) },
	} {
		for _, leads := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				var disks [4]*brokenDisk
				g := newGroupWith(t, false, short, func(i int, c *Config) {
					disks[i] = newBrokenDisk()
					c.Disk = disks[i]
				})
				g.begin()
				bad := g.leader()
				if !leads {
					bad = (bad + 1) % 4
				}
				fault(disks[bad])
				g.propose((bad+1)%4, g.w.Join(0, 2))
				<-g.reps[bad].Done()
				err := g.reps[bad].Err()
				if !errors.Is(err, ErrDisk) || strings.Contains(err.Error(), "\n") {
					t.Errorf("stopped with %v", err)
				}
				if err := g.reps[bad].Propose(context.Background(), g.w.Join(0, 3)); !errors.Is(err, ErrDisk) {
					t.Errorf("proposal after the failure: %v", err)
				}
				g.reps[bad].Close()
				g.reps[bad] = nil
				g.propose((bad+1)%4, g.w.Join(0, 3))
				g.change = nil
				g.open(bad)
				g.settle()
				if !bytes.Equal(snapshotOf(t, g.reps[bad]), snapshotOf(t, g.reps[(bad+1)%4])) {
					t.Error("it came back with another state")
				}
			})
		}
	}
}

// A term or vote that cannot be saved ends the member too, where Raft alone would panic.
func TestStableStoreFails(t *testing.T) {
	g := newGroup(t, false, short)
	g.begin()
	bad := (g.leader() + 1) % 4
	// bbolt's file is closed under it.
	r := g.reps[bad]
	closeMeta(t, r)
	for i := range g.reps {
		if i != bad && g.reps[i].leads() {
			if err := g.reps[i].TransferLeadership(g.ctx()); err != nil { // a new term, which bad has to save
				t.Log(err)
			}
		}
	}
	<-r.Done()
	if !errors.Is(r.Err(), ErrDisk) {
		t.Errorf("stopped with %v", r.Err())
	}
	r.Close()
	g.reps[bad] = nil
	g.leader()
}

// Away for longer than the others keep records: the member comes back by a snapshot, is told so, and ends in their state.
func TestAwayForLong(t *testing.T) {
	// A truncated log is readable until its segment goes.
	g := newGroupWith(t, false, short, func(_ int, c *Config) { c.segment = 4096 })
	g.startNodes()
	g.begin()
	g.playRound(0, 0)
	g.idle()
	g.stopNodes()
	away := (g.leader() + 1) % 4
	g.shut(away)
	other := g.leader()
	for n := range 40 {
		g.propose(other, g.w.Join(0, uint64(n)+2))
	}
	for _, r := range g.reps {
		if r == nil {
			continue
		}
		conf := r.raft.ReloadableConfig()
		conf.TrailingLogs = 4
		if err := r.raft.ReloadConfig(conf); err != nil {
			t.Fatal(err)
		}
		if err := r.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	g.open(away)
	g.settle()
	if !bytes.Equal(snapshotOf(t, g.reps[away]), snapshotOf(t, g.reps[other])) {
		t.Error("it came back with another state")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	restored := false
	for _, a := range g.applied[away] {
		restored = restored || a.Restored && a.LogSize > 0
	}
	if !restored {
		t.Error("the jump to a snapshot was not announced")
	}
}

// closeMeta closes the WAL's bbolt file, as a device that is gone would.
func closeMeta(t *testing.T, r *Replica) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(r.cfg.Dir, "wal", "wal-meta.db")); err != nil {
		t.Skip("no raft-wal here")
	}
	if err := r.meta.Close(); err != nil {
		t.Fatal(err)
	}
}

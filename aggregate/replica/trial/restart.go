package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/aggregate/replica"
	"drystone/protocol"
	"drystone/verify"
)

// Size is what a member keeps on disk at some round.
type Size struct {
	Round  uint32
	Log    int64 // bytes of Raft's log and snapshots
	Leaves int64 // bytes of the transparency log, which grows by nature
}

// LongRun is a run of one aggregator and three trainers, from which restarts are timed.
type LongRun struct {
	dir   string
	world *aggtest.World
}

// NewLongRun plays so many rounds as fast as one member logs their records, each of them durably, and returns the sizes on
// disk when each of the rounds at was reached, ascending.
func NewLongRun(ctx context.Context, dir string, rounds uint32, at []uint32) (*LongRun, []Size, error) {
	w := aggtest.New(func(s *protocol.RunSpec) {
		s.Train.Rounds, s.Payout.EpochRounds = rounds, 10
		s.Quorum = protocol.QuorumSpec{Aggregators: 1, Threshold: 1}
		s.Deadlines = protocol.DeadlineSpec{Train: 86400, Reveal: 86400, Check: 86400}
	})
	l := &LongRun{dir: dir, world: w}
	tlog, err := verify.OpenLog(filepath.Join(dir, "log"))
	if err != nil {
		return nil, nil, err
	}
	defer tlog.Close()
	r, err := l.open(tlog)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	m, err := aggregate.New(w.Config()) // which says what to log next
	if err != nil {
		return nil, nil, err
	}
	var sizes []Size
	err = play(w, m, func(record []byte) error {
		if _, err := m.Apply(record); err != nil {
			return err
		}
		if len(at) > 0 && m.View().Round >= at[0] {
			s, err := l.size(at[0])
			if err != nil {
				return err
			}
			sizes, at = append(sizes, s), at[1:]
		}
		return r.Propose(ctx, record)
	})
	return l, sizes, err
}

func (l *LongRun) open(tlog *verify.Log) (*replica.Replica, error) {
	return replica.Open(replica.Config{
		Dir: filepath.Join(l.dir, "raft"), Self: l.world.Aggs[0].ID(), Members: l.world.Members(), Machine: l.world.Config(), Streams: alone{},
		OnApply: func(a replica.Applied) {
			for i, leaf := range a.Effects.Leaves {
				tlog.Append(a.Effects.FirstLeaf+uint64(i), leaf) // a failure shows as another root
			}
		},
	})
}

// Restart opens the member as a process would that starts again, and returns how long it took until it had its whole
// state and its transparency log, checked against each other.
func (l *LongRun) Restart(ctx context.Context) (took time.Duration, err error) {
	start := time.Now()
	tlog, err := verify.OpenLog(filepath.Join(l.dir, "log"))
	if err != nil {
		return 0, err
	}
	defer tlog.Close()
	r, err := l.open(tlog)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for {
		changed := r.Changed()
		var phase aggregate.Phase
		var size uint64
		var root protocol.Digest
		r.Read(func(m *aggregate.Machine) {
			phase = m.Phase()
			size, root = m.Log()
		})
		if phase == aggregate.PhaseFinished && size <= tlog.Size() {
			have, err := tlog.Root(size)
			if err != nil || have != root {
				return 0, fmt.Errorf("the log on disk has root %s at size %d, the state has %s: %w", have.Short(), size, root.Short(), err)
			}
			return time.Since(start), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// size adds up what lies on the disk.
func (l *LongRun) size(round uint32) (s Size, err error) {
	s.Round = round
	if s.Log, err = bytesIn(filepath.Join(l.dir, "raft")); err != nil {
		return s, err
	}
	s.Leaves, err = bytesIn(filepath.Join(l.dir, "log"))
	return s, err
}

func bytesIn(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a segment or snapshot that goes meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		if info, err := d.Info(); err == nil {
			n += info.Size()
		}
		return nil
	})
	return n, err
}

// alone is the network of a group of one.
type alone struct{}

func (alone) HandleStream(string, func(protocol.PeerID, net.Conn)) {}
func (alone) OpenStream(context.Context, protocol.PeerID, string) (net.Conn, error) {
	return nil, net.ErrClosed
}

package aggregate_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/protocol"
)

// course is a run that was played, and states from all over it.
type course struct {
	*play
	states [][]byte
}

// courses are two runs: one in which the founder pauses, changes the council and stops, and one whose shards have owners.
func courses(t tb) []course {
	plain := newPlay(t, func(s *protocol.RunSpec) { twoRounds(s); s.Train.Rounds = 5; s.Train.MinShards = 1 })
	plain.must(plain.w.JoinPart(0, 1, 1))
	plain.join(1, 2)
	plain.tick(1)
	plain.control(protocol.ActionPause, -1, -1)
	plain.work()
	plain.commit(0, 1, 2)
	plain.work()
	plain.control(protocol.ActionReplace, 4, 1)
	plain.work()
	plain.control(protocol.ActionResume, -1, -1)
	plain.rounds(2, 0, 1, 2)
	plain.commitRostered(0, 1)
	plain.tick(1)
	plain.tick(100)
	plain.rounds(3, 0, 1, 2)
	plain.control(protocol.ActionStop, -1, -1)
	plain.rounds(9, 0, 1, 2)
	owned := newOwnedPlay(t, fewOwners)
	owned.join(0, 1, 2)
	owned.rounds(2, 0, 1, 2)
	return []course{{plain, statesOf(plain)}, {owned, statesOf(owned)}}
}

// statesOf replays a run: the states in which a phase begins, and every third one between.
func statesOf(p *play) (states [][]byte) {
	m, err := aggregate.New(p.w.Config())
	if err != nil {
		p.Fatal(err)
	}
	add := func() {
		b, err := m.StateBytes()
		if err != nil {
			p.Fatal(err)
		}
		states = append(states, b)
	}
	add()
	for i, record := range p.records {
		fx, err := m.Apply(record)
		if err == nil && (i%3 == 0 || len(fx.Entered) > 0) {
			add()
		}
	}
	return states
}

// exercise calls all that a node calls, lets everybody do what they owe, and lets time pass: none of it may panic.
func (c course) exercise(m *aggregate.Machine, records int) {
	for range 3 {
		v := m.View()
		m.Deadline()
		m.Newcomer()
		m.Commits(v.Round)
		for _, k := range c.w.Everyone() {
			for _, d := range m.Duties(k.ID()) {
				if s, ok := d.(aggregate.DutySign); ok {
					m.MaySign(&s.Statement, time.Unix(1e6, 0), time.Unix(0, 0), nil)
				}
				m.Apply(c.w.Discharge(k, d))
			}
		}
		for _, k := range c.w.Peers {
			m.Commit(k.ID())
		}
		m.Apply(aggregate.TickRecord(m.LoggedMilli() + 1))
		m.Apply(aggregate.TickRecord(m.LoggedMilli() + 1e6))
	}
	for i := 0; i < len(c.records); i += max(1, len(c.records)/records) {
		m.Apply(c.records[i])
	}
	m.View()
}

// Every state that a run goes through is restored, and together they have every phase.
func TestRestoreEveryPhase(t *testing.T) {
	seen := map[aggregate.Phase]bool{}
	for _, c := range courses(t) {
		for i, b := range c.states {
			m, err := aggregate.New(c.w.Config())
			if err != nil {
				t.Fatal(err)
			}
			if err := m.RestoreState(b); err != nil {
				t.Fatalf("state %d: %v", i, err)
			}
			if again, err := m.StateBytes(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("state %d is restored to another one: %v", i, err)
			}
			seen[m.Phase()] = true
			c.exercise(m, 10)
		}
	}
	for p := aggregate.PhaseNew; p <= aggregate.PhaseFinished; p++ {
		if !seen[p] {
			t.Errorf("no state in phase %s", p)
		}
	}
}

// A state that was made up from a true one, by whoever sends snapshots, is refused, or does no harm: nothing that a node calls
// panics, and it can be written again.
func TestRestoreForged(t *testing.T) {
	all := courses(t)
	rapid.Check(t, func(t *rapid.T) {
		c := all[rapid.IntRange(0, len(all)-1).Draw(t, "run")]
		b := c.states[rapid.IntRange(0, len(c.states)-1).Draw(t, "state")]
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			var err error
			if b, err = aggregate.MutateState(b, func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "pick") }); err != nil {
				t.Skip(err)
			}
		}
		m, err := aggregate.New(c.w.Config())
		if err != nil {
			t.Fatal(err)
		}
		if m.RestoreState(b) == nil {
			c.exercise(m, 10)
			if _, err := m.StateBytes(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzRestore: a snapshot comes from the own disk or the leader, and still must not crash the process, take more memory than a
// few times what a snapshot may have, or leave a state that cannot be written again. pick makes changes to it first, so that
// more than bytes are tried.
func FuzzRestore(f *testing.F) {
	all := courses(f)
	for i, c := range all {
		for j, b := range c.states {
			f.Add(uint8(i), b, []byte{})
			f.Add(uint8(i), b, []byte{byte(j), byte(7 * j), byte(3 * j), 1, 2, 3, 4, 5})
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data, pick []byte) {
		c := all[int(which)%len(all)]
		if len(pick) > 0 {
			changed, err := aggregate.MutateState(data, func(n int) int {
				x := 0
				if len(pick) > 0 {
					x, pick = int(pick[0]), pick[1:]
				}
				return x % n
			})
			if err != nil {
				return
			}
			data = changed
		}
		m, err := aggregate.New(c.w.Config())
		if err != nil {
			t.Fatal(err)
		}
		if m.RestoreState(data) != nil {
			return
		}
		c.exercise(m, 5)
		if _, err := m.StateBytes(); err != nil {
			t.Fatal(err)
		}
	})
}

// A snapshot of little else than empty elements would take hundreds of times its length once decoded; it is refused before.
func TestRestoreBounded(t *testing.T) {
	p := newPlay(t, nil)
	head := []byte{0x97, 6, 0, 1, 0, 0, 0xf4, 0xf6, 0xf6, 0x40, 0x40, 0x80, 0x80} // an array of 23, up to the rounds
	for name, fill := range map[string]byte{"nulls": 0xf6, "empty arrays": 0x80} {
		n := 1 << 23
		b := append(binary.BigEndian.AppendUint32(append(bytes.Clone(head), 0x9a), uint32(n)), bytes.Repeat([]byte{fill}, n)...)
		b = append(b, make([]byte, 10)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := p.m.RestoreState(b)
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, protocol.ErrTooLarge) || taken > 64<<20 {
			t.Errorf("%d %s for rounds: %v, after %d bytes were taken", n, name, err, taken)
		}
	}
}

package aggregate_test

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

func punctual(s *protocol.RunSpec) {
	s.Train.Rounds, s.Payout.EpochRounds, s.Verify.Checks, s.Train.MinShards = 2, 1, 2, 1
	s.Deadlines = protocol.DeadlineSpec{Train: 3600, Reveal: 3600, Check: 3600}
}

// crowd delivers records in any order.
type crowd struct {
	t     *rapid.T
	w     *aggtest.World
	m     *aggregate.Machine // never stopped
	twin  *aggregate.Machine // restored from its snapshot now and then
	pool  [][]byte           // sent and not yet delivered, or to be delivered again
	sent  map[string]bool
	moved bool // since the last send
	now   int64
	final []protocol.Statement
	chain []protocol.SignedStatement
}

// send puts into the pool what honest members would send in the present state.
func (c *crowd) send() {
	if !c.moved {
		return
	}
	c.moved = false
	v := c.m.View()
	if v.Phase == aggregate.PhaseTrain {
		for i := range 3 {
			c.once(fmt.Sprint("commit", v.Round, i), func() []byte { return c.w.Commit(v, i, "honest") })
		}
	}
	for i, k := range c.w.Everyone() {
		for _, d := range c.m.Duties(k.ID()) {
			c.once(fmt.Sprint(i, d.Key()), func() []byte { return c.w.Discharge(k, d) })
		}
	}
}

func (c *crowd) once(key string, record func() []byte) {
	if !c.sent[key] {
		c.sent[key] = true
		c.pool = append(c.pool, record())
	}
}

func (c *crowd) apply(record []byte) {
	fx, err := c.m.Apply(record)
	c.moved = c.moved || err == nil
	fx2, err2 := c.twin.Apply(record)
	if fmt.Sprint(err) != fmt.Sprint(err2) || !reflect.DeepEqual(fx, fx2) {
		c.t.Fatalf("the restored twin differs: %v, %v", err, err2)
	}
	for _, f := range fx.Final {
		c.final, c.chain = append(c.final, f.Statement), append(c.chain, f)
	}
	if len(fx.Faults)+len(fx.Evidence)+len(fx.Convicted) > 0 {
		c.t.Fatalf("honest members at fault: %+v", fx)
	}
}

// step delivers one record of the pool, perhaps to be delivered again later, or lets time pass, or restarts the twin.
func (c *crowd) step() {
	switch what := rapid.IntRange(0, 39).Draw(c.t, "what"); {
	case what < 3 && c.now < 1000:
		c.now += 5
		c.apply(aggregate.TickRecord(c.now * 1000))
	case what == 3:
		snap, err := c.twin.Snapshot()
		if err != nil {
			c.t.Fatal(err)
		}
		if c.twin, err = aggregate.New(c.w.Config()); err != nil {
			c.t.Fatal(err)
		}
		if err := c.twin.Restore(snap); err != nil {
			c.t.Fatal(err)
		}
		if again, _ := c.twin.Snapshot(); !bytes.Equal(again, snap) {
			c.t.Fatal("snapshot, restore, snapshot is not the identity")
		}
	default:
		if len(c.pool) == 0 {
			return
		}
		i := rapid.IntRange(0, len(c.pool)-1).Draw(c.t, "which")
		record := c.pool[i]
		if what > 8 {
			c.pool = append(c.pool[:i], c.pool[i+1:]...)
		}
		c.apply(record)
	}
}

// A run's history is a function of contributions and rules, not of timing (design, section 4): any order, duplication
// and delay of deliveries inside the deadlines gives the same statements. And a machine that is restored from its own
// snapshot at any point behaves as one that never stopped.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Run("no delay", func(t *testing.T) { orderDoesNotMatter(t, punctual) })
	t.Run("delayed", func(t *testing.T) {
		orderDoesNotMatter(t, func(s *protocol.RunSpec) { punctual(s); s.Train.Rounds, s.Train.Delay = 3, 1 })
	})
}

func orderDoesNotMatter(t *testing.T, change func(*protocol.RunSpec)) {
	ref := newPlay(t, change)
	ref.must(ref.w.JoinPart(0, 1, 1)) // it trains one of two shards
	ref.join(1, 2)
	ref.rounds(9, 0, 1, 2)
	var want []protocol.Digest
	for i := range ref.final {
		want = append(want, ref.final[i].Statement.Digest())
	}
	rapid.Check(t, func(t *rapid.T) {
		c := &crowd{t: t, w: aggtest.New(change), sent: map[string]bool{}}
		var err error
		if c.m, err = aggregate.New(c.w.Config()); err != nil {
			t.Fatal(err)
		}
		if c.twin, err = aggregate.New(c.w.Config()); err != nil {
			t.Fatal(err)
		}
		c.apply(c.w.Genesis())
		c.pool = [][]byte{c.w.JoinPart(0, 1, 1), c.w.Join(1, 1), c.w.Join(2, 1)}
		for n := 0; c.m.View().Phase != aggregate.PhaseFinished; n++ {
			if n > 20000 {
				t.Fatalf("stuck in phase %s of round %d", c.m.View().Phase, c.m.View().Round)
			}
			c.send()
			c.step()
		}
		var got []protocol.Digest
		for i := range c.final {
			got = append(got, c.final[i].Digest())
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("another history:\n%v\nwant\n%v", got, want)
		}
		a, _ := c.m.Snapshot()
		b, _ := c.twin.Snapshot()
		if !bytes.Equal(a, b) {
			t.Fatal("the restored twin ends in another state")
		}
	})
}

// Snapshots of every fifth moment of every scenario restore to a machine with the same duties and deadline, and the run
// goes on with it to the same end.
func TestRestoreScenarios(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			p := newPlay(t, s.change)
			s.play(p)
			m, err := aggregate.New(p.w.Config())
			if err != nil {
				t.Fatal(err)
			}
			for i, record := range p.records {
				m.Apply(record) // some are refused, in the scenario too
				if i%5 != 0 {
					continue
				}
				snap, err := m.Snapshot()
				if err != nil {
					t.Fatal(err)
				}
				n, _ := aggregate.New(p.w.Config())
				if err := n.Restore(snap); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				for _, k := range p.w.Aggs {
					if a, b := fmt.Sprint(m.Duties(k.ID())), fmt.Sprint(n.Duties(k.ID())); a != b {
						t.Fatalf("record %d: duties %s, restored %s", i, a, b)
					}
				}
				a, aok := m.Deadline()
				b, bok := n.Deadline()
				if a != b || aok != bok {
					t.Fatalf("record %d: deadline %v, restored %v", i, a, b)
				}
				m = n
			}
			if snap, _ := m.Snapshot(); !bytes.Equal(snap, p.snapshot()) {
				t.Fatal("restored now and then, the end differs")
			}
		})
	}
}

func TestRestoreRefuses(t *testing.T) {
	p := newPlay(t, nil)
	toCheck(p)
	good := p.snapshot()
	other := newPlay(t, func(s *protocol.RunSpec) { s.Seed = 2 })
	for name, snap := range map[string][]byte{
		"empty":       nil,
		"cut short":   good[:len(good)-1],
		"trailing":    append(bytes.Clone(good), 0),
		"another run": other.snapshot(),
	} {
		if err := p.m.Restore(snap); err == nil {
			t.Errorf("%s: restored", name)
		}
		if !bytes.Equal(p.snapshot(), good) {
			t.Errorf("%s: the state changed", name)
		}
	}
}

// DecodeRecord never panics, bounds what it allocates, and what it accepts encodes to the same bytes; Apply refuses or
// accepts and never panics either.
func FuzzRecord(f *testing.F) {
	p := newPlay(f, twoRounds)
	p.join(0, 1, 2)
	p.control(protocol.ActionPause, -1, -1)
	p.work()
	p.control(protocol.ActionReplace, 4, 1)
	p.work()
	p.control(protocol.ActionResume, -1, -1)
	p.rounds(9, 0, 1, 2)
	for _, r := range p.records {
		f.Add(r)
	}
	for _, l := range p.leaves {
		f.Add(l)
	}
	w := aggtest.New(twoRounds)
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, msg, err := aggregate.DecodeRecord(data)
		if err == nil {
			if again := aggregate.EncodeLeaf(kind, msg); !bytes.Equal(again, data) {
				t.Fatalf("%s: %x encodes to %x", kind, data, again)
			}
		}
		m, err := aggregate.New(w.Config())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(w.Genesis()); err != nil {
			t.Fatal(err)
		}
		m.Apply(data)
	})
}

package aggregate_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// What the founder may not ask for, and in which phase.
func TestControlRefuses(t *testing.T) {
	hosted := func(s *protocol.RunSpec) { s.Train.Rounds = 2 }
	pause := func(p *play) { p.control(protocol.ActionPause, -1, -1) }
	for name, tt := range map[string]struct {
		before func(p *play)
		record func(p *play) []byte
		want   error
	}{
		"resume of a run that goes on": {nil, func(p *play) []byte { return p.order(protocol.ActionResume, 1, -1, -1) }, aggregate.ErrLate},
		"the same again":               {pause, func(p *play) []byte { return p.order(protocol.ActionPause, 1, -1, -1) }, aggregate.ErrDuplicate},
		"an old nonce":                 {pause, func(p *play) []byte { return p.order(protocol.ActionResume, 1, -1, -1) }, aggregate.ErrLate},
		"nonce 0":                      {nil, func(p *play) []byte { return p.order(protocol.ActionPause, 0, -1, -1) }, aggregate.ErrLate},
		"pause of a paused run":        {pause, func(p *play) []byte { return p.order(protocol.ActionPause, 2, -1, -1) }, aggregate.ErrDuplicate},
		"add of a member":              {nil, func(p *play) []byte { return p.order(protocol.ActionAdd, 1, 2, -1) }, aggregate.ErrDuplicate},
		"remove of a stranger":         {nil, func(p *play) []byte { return p.order(protocol.ActionRemove, 1, -1, 4) }, aggregate.ErrLate},
		"remove of the ledger's host":  {nil, func(p *play) []byte { return p.order(protocol.ActionRemove, 1, -1, 0) }, aggregate.ErrInvalid},
		"second change": {func(p *play) { p.control(protocol.ActionAdd, 4, -1) },
			func(p *play) []byte { return p.order(protocol.ActionRemove, 2, -1, 1) }, aggregate.ErrEarly},
		"after a stop": {func(p *play) { p.control(protocol.ActionStop, -1, -1) },
			func(p *play) []byte { return p.order(protocol.ActionPause, 2, -1, -1) }, aggregate.ErrLate},
		"in the last round": {func(p *play) { p.join(1, 2, 3); p.rounds(1, 1, 2, 3) },
			func(p *play) []byte { return p.order(protocol.ActionStop, 1, -1, -1) }, aggregate.ErrLate},
		"after the end": {func(p *play) { p.join(1, 2, 3); p.rounds(9, 1, 2, 3) },
			func(p *play) []byte { return p.order(protocol.ActionAdd, 1, 4, -1) }, aggregate.ErrLate},
		"not the founder's": {nil, func(p *play) []byte {
			c := p.w.Control(protocol.ActionStop, 1, nil, nil).Body
			c.Founder = p.w.Peers[0].ID()
			return aggregate.ControlRecord(protocol.Sign(p.w.Peers[0], c))
		}, aggregate.ErrInvalid},
		"a key that the newcomer does not have": {nil, func(p *play) []byte {
			a := p.w.Accept(p.w.Spares[0]).Body
			a.Aggregator.Proof[0] ^= 1
			c := p.w.Control(protocol.ActionAdd, 1, nil, nil).Body
			c.Add = []protocol.Signed[protocol.Accept]{protocol.Sign(p.w.Spares[0], a)}
			return aggregate.ControlRecord(protocol.Sign(p.w.Founder, c))
		}, aggregate.ErrInvalid},
		"another run": {nil, func(p *play) []byte {
			c := p.w.Control(protocol.ActionStop, 1, nil, nil).Body
			c.Run = protocol.Hash("other")
			return aggregate.ControlRecord(protocol.Sign(p.w.Founder, c))
		}, aggregate.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			p := newHosted(t, hosted)
			if tt.before != nil {
				tt.before(p)
			}
			if err := p.try(tt.record(p)); !errors.Is(err, tt.want) {
				t.Errorf("%v, want %v", err, tt.want)
			}
		})
	}
}

// newHosted is a play whose Genesis names aggregator 0 as the ledger's host.
func newHosted(t tb, change func(*protocol.RunSpec)) *play {
	p := newPlay(t, change)
	p.w.Host = p.w.Aggs[0].ID()
	q := &play{tb: t, w: p.w, done: map[string]bool{}}
	m, err := aggregate.New(p.w.Config())
	if err != nil {
		t.Fatal(err)
	}
	q.m = m
	q.must(p.w.Genesis())
	return q
}

// A change needs the contract's rotation as well as the statement: neither alone suffices, and only members sign either.
func TestChangeNeedsStatementAndRotation(t *testing.T) {
	p := newPlay(t, nil)
	p.control(protocol.ActionReplace, 4, 0)
	var turn aggregate.DutyRotate
	var sign aggregate.DutySign
	for _, d := range p.m.Duties(p.w.Aggs[1].ID()) {
		switch d := d.(type) {
		case aggregate.DutyRotate:
			turn = d
		case aggregate.DutySign:
			sign = d
		}
	}
	if turn.Rotation.Sequence != 1 || len(turn.Rotation.Signers) != 4 || turn.Rotation.Threshold != 3 {
		t.Fatalf("rotation %+v", turn.Rotation)
	}
	for _, k := range p.w.Aggs {
		p.must(p.w.Cosign(k, sign.Statement))
	}
	refused := func(record []byte, want error) {
		t.Helper()
		if err := p.try(record); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	refused(p.w.Rotate(p.w.Spares[0], turn.Rotation), aggregate.ErrInvalid)
	refused(p.w.Cosign(p.w.Spares[0], sign.Statement), aggregate.ErrInvalid)
	other := turn.Rotation
	other.Threshold = 1
	refused(p.w.Rotate(p.w.Aggs[0], other), aggregate.ErrDiffers)
	other = turn.Rotation
	other.Sequence = 2
	refused(p.w.Rotate(p.w.Aggs[0], other), aggregate.ErrEarly)
	forged := p.w.Rotate(p.w.Aggs[1], turn.Rotation)
	forged[len(forged)-10] ^= 1
	refused(forged, aggregate.ErrInvalid)
	p.must(p.w.Rotate(p.w.Aggs[0], turn.Rotation))
	p.must(p.w.Rotate(p.w.Aggs[1], turn.Rotation))
	refused(p.w.Rotate(p.w.Aggs[1], turn.Rotation), aggregate.ErrDuplicate)
	if v := p.m.View(); v.Phase != aggregate.PhaseChanging || v.Council.Threshold != 3 {
		t.Fatalf("%s before the rotation has its quorum", v.Phase)
	}
	p.must(p.w.Rotate(p.w.Aggs[2], turn.Rotation))
	if _, ok := p.m.Council().Member(p.w.Spares[0].ID()); !ok || p.m.Phase() != aggregate.PhaseWaiting || len(p.m.Rotations()) != 1 {
		t.Fatalf("%s, %d rotations", p.m.Phase(), len(p.m.Rotations()))
	}
	refused(p.w.Rotate(p.w.Aggs[3], turn.Rotation), aggregate.ErrLate)
	refused(p.w.Cosign(p.w.Aggs[1], sign.Statement), aggregate.ErrDuplicate)
	if p.m.Duties(p.w.Aggs[0].ID()) != nil {
		t.Error("who is out owes something")
	}
}

// A peer that comes back after misses is on probation: one more miss drops it, a revealed contribution ends it. Leaving
// or naming another account washes nothing away.
func TestProbation(t *testing.T) {
	p := newPlay(t, func(s *protocol.RunSpec) { s.Train.Rounds, s.Aggregate.MinPeers = 9, 2 })
	p.join(0, 1, 2)
	misses := func(want uint32, active bool) {
		t.Helper()
		for _, x := range p.m.View().Peers {
			if x.ID == p.w.Peers[2].ID() && (x.Misses != want || x.Active != active) {
				t.Fatalf("%d misses, active %v; want %d, %v", x.Misses, x.Active, want, active)
			}
		}
	}
	round := func(peers ...int) {
		t.Helper()
		p.work()
		p.commitRostered(peers...)
		if p.m.Phase() == aggregate.PhaseTrain {
			p.tick(1)
			p.tick(60)
		}
		p.work()
	}
	round(0, 1) // opened before peer 2 joined
	round(0, 1)
	misses(1, true)
	p.must(p.w.Join(2, 2)) // another account
	misses(1, true)
	round(0, 1)
	misses(2, false)
	p.must(p.w.Join(2, 3))
	misses(1, true)
	round(0, 1) // its Open was fixed before
	misses(1, true)
	round(0, 1)
	misses(2, false)
	p.must(p.w.Join(2, 4))
	round(0, 1)
	round(0, 1, 2)
	misses(0, true)
}

// Controls at random moments among random deliveries: replicas stay equal, no round is certified twice, and a set that
// the one before did not bring in by its quorum never signs.
func TestControlsAmongDeliveries(t *testing.T) {
	change := func(s *protocol.RunSpec) {
		punctual(s)
		s.Train.Rounds, s.Verify.Checks = 3, 1
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
		c.pool = [][]byte{c.w.Join(0, 1), c.w.Join(1, 1), c.w.Join(2, 1)}
		for n, orders := 0, 0; c.m.Phase() != aggregate.PhaseFinished; n++ {
			if n > 40000 {
				t.Fatalf("stuck in phase %s of round %d", c.m.Phase(), c.m.View().Round)
			}
			idle := len(c.pool) == 0 && !c.moved
			if orders < 6 && rapid.IntRange(0, 39).Draw(t, "order?") == 0 {
				orders++
				c.pool = append(c.pool, c.order())
			} else if idle || orders == 6 {
				orders++
				c.apply(aggregate.ControlRecord(c.w.Control(protocol.ActionResume, c.m.View().Nonce+1, nil, nil)))
			}
			c.send()
			c.step()
		}
		a, _ := c.m.Snapshot()
		b, _ := c.twin.Snapshot()
		if !bytes.Equal(a, b) {
			t.Fatal("the restored twin ends in another state")
		}
		c.judge()
	})
}

// order is a Control of any kind with the next nonce; many make no sense.
func (c *crowd) order() []byte {
	all := c.w.Everyone()
	action := protocol.Action(rapid.SampledFrom([]int{1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 6, 6, 6}).Draw(c.t, "action"))
	var in, out *protocol.Key
	if action == protocol.ActionAdd || action == protocol.ActionReplace {
		in = &all[rapid.IntRange(0, len(all)-1).Draw(c.t, "in")]
	}
	if action == protocol.ActionRemove || action == protocol.ActionReplace {
		out = &all[rapid.IntRange(0, len(all)-1).Draw(c.t, "out")]
	}
	return aggregate.ControlRecord(c.w.Control(action, c.m.View().Nonce+1, in, out))
}

// judge reads the chain as an outsider does.
func (c *crowd) judge() {
	_, council, err := protocol.OpenGenesis(&c.w.Spec, c.w.Run, &c.chain[0])
	if err != nil {
		c.t.Fatal(err)
	}
	seen := map[string]bool{}
	for i := 1; i < len(c.chain); i++ {
		s := c.chain[i]
		key := fmt.Sprint(s.Statement.Kind, s.Statement.Round)
		if seen[key] && s.Statement.Kind != protocol.KindCouncil {
			c.t.Fatalf("two %s of round %d", s.Statement.Kind, s.Statement.Round)
		}
		seen[key] = true
		if err := errors.Join(council.Verify(&s), s.Statement.Follows(&c.chain[i-1].Statement)); err != nil {
			c.t.Fatal(err)
		}
		short := s
		short.Sigs = s.Sigs[:council.Threshold-1]
		if council.Verify(&short) == nil {
			c.t.Fatalf("%s of round %d stands without the quorum", s.Statement.Kind, s.Statement.Round)
		}
		if council, err = council.After(&c.w.Spec, &s.Statement); err != nil {
			c.t.Fatal(err)
		}
	}
	if v := c.m.View(); v.Total != uint32(len(certified(c.final))) {
		c.t.Fatalf("%d rounds, %d Certificates", v.Total, len(certified(c.final)))
	}
}

func certified(chain []protocol.Statement) (out []uint32) {
	for i := range chain {
		if chain[i].Kind == protocol.KindCertificate {
			out = append(out, chain[i].Round)
		}
	}
	return out
}

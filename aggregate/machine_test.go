package aggregate_test

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"drystone/aggregate"
	"drystone/protocol"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// scenario plays a run, or a part of it, whose transcript is a golden file.
type scenario struct {
	name   string
	change func(*protocol.RunSpec)
	play   func(p *play)
}

func twoRounds(s *protocol.RunSpec) { s.Train.Rounds, s.Payout.EpochRounds = 2, 1 }

var scenarios = []scenario{
	{"everyone on time", func(s *protocol.RunSpec) { s.Train.Rounds = 3 }, func(p *play) {
		p.join(0, 1, 2)
		p.rounds(9, 0, 1, 2)
	}},
	{"peer misses two rounds and joins again", func(s *protocol.RunSpec) { s.Aggregate.MinPeers = 2 }, func(p *play) {
		p.join(0, 3) // enough to open round 0
		p.join(1)
		for range 2 {
			p.work()
			p.commitRostered(0, 1)
			p.tick(1)
			p.tick(59)
			if p.m.View().Phase != aggregate.PhaseTrain {
				p.Fatal("froze before the deadline")
			}
			p.tick(1)
		}
		p.work()
		p.must(p.w.Join(3, 2)) // the Open of round 2 is fixed without it
		p.rounds(9, 0, 1, 3)
	}},
	{"nobody commits", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		for range 2 {
			p.tick(1)
			p.tick(60) // extended once
			p.tick(60)
			p.work()
		}
	}},
	{"peer leaves", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1)
		p.must(p.w.Leave(2, 2)) // nobody is awaited any more
		p.join(3)
		p.rounds(9, 0, 1, 3)
	}},
	{"frozen and not revealed", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		v := p.m.View()
		p.commit(0, 1)
		p.must(p.w.CommitOn(v, 2, "stale", protocol.Hash("another model"), protocol.Digest{}))
		p.work(0, 1) // two attests are no quorum
		p.work()
		p.rounds(9, 0, 1, 2)
	}},
	{"reveal deadline", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1, 2)
		p.statements(2)
		for _, k := range p.w.Aggs {
			for _, d := range p.m.Duties(k.ID()) {
				if g := d.(aggregate.DutyGather); g.Commit.Body.Peer != p.w.Peers[2].ID() {
					p.must(p.w.Discharge(k, d)) // peer 2 does not reveal
				}
			}
		}
		p.tick(1)
		p.tick(30)
		p.rounds(9, 0, 1, 2)
	}},
	{"refuted contribution", nil, func(p *play) {
		p.join(0, 1, 2) // opens round 0
		p.join(3)
		bad := p.w.Peers[1].ID()
		p.w.Outcome = func(_ protocol.PeerID, d aggregate.DutyCheck) protocol.Outcome {
			if d.Peer == bad && d.Assignment.Round == 0 {
				return protocol.Mismatch
			}
			return protocol.Passed
		}
		p.rounds(2, 0, 1, 2, 3)
		if err := p.try(p.w.Join(1, 2)); err == nil {
			p.Fatal("a convicted peer joined again")
		}
		p.rounds(9, 0, 2, 3)
	}},
	{"lone liar among verifiers", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		liar := p.w.Aggs[2].ID()
		p.w.Outcome = func(v protocol.PeerID, d aggregate.DutyCheck) protocol.Outcome {
			if v == liar {
				return protocol.Mismatch
			}
			return protocol.Passed
		}
		p.rounds(9, 0, 1, 2)
	}},
	{"late verifier", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1, 2)
		p.work(1, 2, 3) // aggregator 0 draws and checks nothing
		p.tick(1)
		p.tick(20)
		p.work(1, 2, 3)
		p.rounds(9, 0, 1, 2)
	}},
	{"nobody checks", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1, 2)
		p.statements(4)
		p.tick(1)
		p.tick(20)
		p.tick(1) // whoever was called then has its own time
		p.tick(20)
		p.tick(1)
		p.tick(20)
		p.tick(1)
		p.tick(20)
		p.rounds(9, 0, 1, 2)
	}},
	{"delayed training", delayed, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.must(p.w.Join(3, 1)) // there when round 1 opens, so it trains round 2
		p.rounds(1, 0, 1, 2)
		p.must(p.w.Leave(0, 2)) // announced for round 2, and not waited for
		p.rounds(9, 1, 2, 3)
	}},
	{"pause and resume", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.control(protocol.ActionPause, -1, -1) // the round under way is finished
		p.commit(0, 1, 2)
		p.work()
		if v := p.m.View(); v.Phase != aggregate.PhasePaused || v.Round != 1 || v.Settled != 1 {
			p.Fatalf("%s, round %d, %d epochs settled", v.Phase, v.Round, v.Settled)
		}
		p.join(3)
		p.control(protocol.ActionResume, -1, -1)
		p.rounds(9, 0, 1, 2, 3)
	}},
	{"stop", nil, func(p *play) {
		p.join(0, 1, 2)
		p.rounds(2, 0, 1, 2)
		p.control(protocol.ActionStop, -1, -1)
		p.commit(0, 1, 2)
		p.work()
		if v := p.m.View(); v.Phase != aggregate.PhaseFinished || v.Total != 3 || v.Settled != 2 {
			p.Fatalf("%s, %d rounds, %d epochs settled", v.Phase, v.Total, v.Settled)
		}
	}},
	{"stop before the first round", nil, func(p *play) {
		p.join(0)
		p.control(protocol.ActionStop, -1, -1)
		p.work()
	}},
	{"stop while paused", nil, func(p *play) {
		p.control(protocol.ActionPause, -1, -1)
		p.join(0, 1, 2)
		p.try(p.order(protocol.ActionPause, 2, -1, -1))
		p.control(protocol.ActionStop, -1, -1)
		p.try(p.order(protocol.ActionResume, 3, -1, -1))
		p.work()
	}},
	{"stop while the council changes", twoRounds, func(p *play) {
		p.control(protocol.ActionAdd, 4, -1)
		p.control(protocol.ActionStop, -1, -1) // the Council under signature is finished, and its set signs the End
		p.work()
		if v := p.m.View(); v.Phase != aggregate.PhaseFinished || len(v.Council.Members) != 5 {
			p.Fatalf("%s, council of %d", v.Phase, len(v.Council.Members))
		}
	}},
	{"council changes", func(s *protocol.RunSpec) { s.Payout.EpochRounds = 1 }, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.control(protocol.ActionReplace, 4, 1)
		p.commit(0, 1, 2)
		p.statements(4)
		if v := p.m.View(); v.Phase != aggregate.PhaseWaiting || v.Change == nil {
			p.Fatalf("%s: the change waits for the checks of round 0", v.Phase)
		}
		p.work()
		p.control(protocol.ActionAdd, 5, -1)
		p.rounds(2, 0, 1, 2)
		p.control(protocol.ActionRemove, -1, 4)
		p.rounds(9, 0, 1, 2)
	}},
	{"council changes while paused", twoRounds, func(p *play) {
		p.control(protocol.ActionPause, -1, -1)
		p.control(protocol.ActionAdd, 4, -1)
		p.work()
		p.control(protocol.ActionRemove, -1, 0)
		p.work()
		p.join(0, 1, 2)
		p.control(protocol.ActionResume, -1, -1)
		p.rounds(9, 0, 1, 2)
	}},
	{"double commit", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		v := p.m.View()
		p.commit(0, 1)
		p.must(p.w.Commit(v, 1, "another"))
		p.try(p.w.Commit(v, 1, "a third")) // the first counts, the second is evidence
		p.commit(2)
		p.rounds(9, 0, 1, 2)
	}},
	{"aggregator signs twice", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		open := p.m.Duties(p.w.Aggs[1].ID())[0].(aggregate.DutySign).Statement
		other := protocol.NewStatement(p.w.Run, 0, open.Prev, protocol.Open{Model: protocol.Hash("another model"), Roster: []protocol.PeerID{}})
		p.try(p.w.Cosign(p.w.Aggs[1], other)) // it signed nothing else yet
		p.must(p.w.Cosign(p.w.Aggs[1], open))
		p.must(p.w.Cosign(p.w.Aggs[1], other))
		p.try(p.w.Cosign(p.w.Aggs[1], other))
		p.work()
		p.must(p.w.Cosign(p.w.Aggs[0], other)) // the Open is final
		p.try(p.w.Cosign(p.w.Aggs[3], other))  // and has no signature of this one
		p.rounds(9, 0, 1, 2)
	}},
	{"late reveal", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1, 2)
		p.statements(2)
		var late [][]byte
		for _, k := range p.w.Aggs {
			for _, d := range p.m.Duties(k.ID()) {
				if g := d.(aggregate.DutyGather); g.Commit.Body.Peer == p.w.Peers[2].ID() {
					late = append(late, p.w.Discharge(k, d))
				} else {
					p.must(p.w.Discharge(k, d))
				}
			}
		}
		p.must(late[0])
		p.must(late[1]) // two of three in time
		p.tick(1)
		p.tick(30)
		p.try(late[2])
		p.rounds(9, 0, 1, 2)
	}},
	{"straggler", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		v := p.m.View()
		p.commit(0, 1)
		p.tick(1)
		p.tick(60)
		p.try(p.w.Commit(v, 2, "honest")) // too late for this round, in time for the next
		p.rounds(9, 0, 1, 2)
	}},
	{"empty round", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		v := p.m.View()
		for i := range 3 {
			p.must(p.w.CommitOn(v, i, "stale", protocol.Hash("another model"), protocol.Digest{}))
		}
		p.rounds(1, 0, 1, 2) // nothing stands: the Certificate changes nothing
		p.rounds(9, 0, 1, 2)
	}},
	{"dispute without a majority", twoRounds, func(p *play) {
		p.join(0, 1, 2)
		p.work()
		p.commit(0, 1, 2)
		p.w.Outcome = func(protocol.PeerID, aggregate.DutyCheck) protocol.Outcome { return protocol.Withheld }
		p.statements(4)
		p.checks(false) // no confirmation comes
		p.tick(1)
		p.tick(20)
		p.w.Outcome = nil
		p.rounds(9, 0, 1, 2)
	}},
}

// statements lets everyone sign, attest and merge, and nobody check, until n statements of round 0 are final.
func (p *play) statements(n int) {
	p.Helper()
	for progress := true; len(p.final) < 1+n; {
		if !progress {
			p.Fatal("no statement comes about")
		}
		progress = false
		for _, k := range p.w.Aggs {
			for _, d := range p.m.Duties(k.ID()) {
				switch d.(type) {
				case aggregate.DutySign, aggregate.DutyGather, aggregate.DutyMerge:
					p.must(p.w.Discharge(k, d))
					progress = true
				}
				break // the duties after the first may be over
			}
			if len(p.final) == 1+n {
				return
			}
		}
	}
}

// checks lets everyone draw and check, and confirm others' failed checks only if asked.
func (p *play) checks(confirm bool) {
	p.Helper()
	for progress := true; progress; {
		progress = false
		for _, k := range p.w.Aggs {
			for _, d := range p.m.Duties(k.ID()) {
				c, check := d.(aggregate.DutyCheck)
				_, draw := d.(aggregate.DutyDraw)
				if draw || check && (confirm || !c.Confirm) {
					p.must(p.w.Discharge(k, d))
					progress = true
					break
				}
			}
		}
	}
}

// The transcripts in testdata hold every record, what it brought about, and every refusal. Run with -update after a
// deliberate change of the rules.
func TestTranscripts(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			p := newPlay(t, s.change)
			s.play(p)
			p.golden(t)
		})
	}
}

// golden compares the transcript with its file, and the log and the chain with what their rules say.
func (p *play) golden(t *testing.T) {
	t.Helper()
	file := filepath.Join("testdata", "transcripts", filepath.Base(t.Name())+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(p.log.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != p.log.String() {
		t.Errorf("transcript differs from %s; it is now:\n%s", file, p.log.String())
	}
	p.checkLog()
	p.checkChain()
}

// checkLog recomputes the transparency log from its leaves (RFC 6962, section 2.1).
func (p *play) checkLog() {
	p.Helper()
	hashes := make([]protocol.Digest, len(p.leaves))
	for i, leaf := range p.leaves {
		hashes[i] = protocol.LeafHash(leaf)
	}
	size, root := p.m.Log()
	if size != uint64(len(hashes)) || root != protocol.RootOf(hashes) {
		p.Fatalf("log of %d leaves, root %s; the leaves give %d, %s", size, root.Short(), len(hashes), protocol.RootOf(hashes).Short())
	}
}

// checkChain verifies every final statement against the council and the one before it, as an outsider would.
func (p *play) checkChain() {
	p.Helper()
	_, council, err := protocol.OpenGenesis(&p.w.Spec, p.w.Run, &p.final[0])
	for i := range p.final {
		if err != nil {
			p.Fatal(err)
		}
		if i == 0 {
			continue
		}
		if err := council.Verify(&p.final[i]); err != nil {
			p.Fatal(err)
		}
		if err := p.final[i].Statement.Follows(&p.final[i-1].Statement); err != nil {
			p.Fatal(err)
		}
		council, err = council.After(&p.w.Spec, &p.final[i].Statement)
	}
	if !reflect.DeepEqual(council, p.m.Council()) {
		p.Fatalf("the chain gives the council %+v, the machine has %+v", council, p.m.Council())
	}
}

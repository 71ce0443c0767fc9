package aggregate_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// resign changes a message of a record and signs it again with k.
func resign[B interface {
	protocol.Join | protocol.Leave | protocol.Commit | protocol.Attest | protocol.Draw | protocol.Verdict
}](t *testing.T, record []byte, change func(*B)) B {
	t.Helper()
	_, msg, err := aggregate.DecodeRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	var b B
	switch v := msg.(type) {
	case *protocol.Signed[protocol.Join]:
		b = any(v.Body).(B)
	case *protocol.Signed[protocol.Leave]:
		b = any(v.Body).(B)
	case *protocol.Signed[protocol.Commit]:
		b = any(v.Body).(B)
	case *protocol.Signed[protocol.Attest]:
		b = any(v.Body).(B)
	case *protocol.Signed[protocol.Draw]:
		b = any(v.Body).(B)
	case *protocol.Signed[protocol.Verdict]:
		b = any(v.Body).(B)
	}
	change(&b)
	return b
}

// duty returns the first duty of type D that aggregator i has.
func duty[D aggregate.Duty](p *play, i int) D {
	p.Helper()
	for _, d := range p.m.Duties(p.w.Aggs[i].ID()) {
		if want, ok := d.(D); ok {
			return want
		}
	}
	var d D
	p.Fatalf("aggregator %d has no %T", i, d)
	return d
}

// Stages of a round, each building on the one before.
func toOpening(p *play) { p.join(0, 1, 2) }
func toTrain(p *play)   { toOpening(p); p.statements(1) }
func toReveal(p *play)  { toTrain(p); p.commit(0, 1, 2); p.statements(2) }
func toMerge(p *play)   { toReveal(p); p.statements(3) }
func toCheck(p *play)   { toMerge(p); p.statements(4) }

// verifier is the aggregator that owes the first check it finds, after its draw.
func verifier(p *play) (int, aggregate.DutyCheck) {
	p.Helper()
	for i, k := range p.w.Aggs {
		for _, d := range p.m.Duties(k.ID()) {
			if _, ok := d.(aggregate.DutyDraw); ok {
				p.must(p.w.Discharge(k, d))
				return i, duty[aggregate.DutyCheck](p, i)
			}
		}
	}
	p.Fatal("nobody has to draw")
	return 0, aggregate.DutyCheck{}
}

func toSettle(p *play) {
	toCheck(p)
	p.checks(true)
}

func TestRefusals(t *testing.T) {
	oneRoundEpochs := func(s *protocol.RunSpec) { s.Payout.EpochRounds = 1 }
	stranger := protocol.DeriveKey(9, "stranger")
	cases := []struct {
		name   string
		stage  func(*play)
		record func(p *play) []byte
		want   error
	}{
		{"garbage", nil, func(p *play) []byte { return []byte{0x82, 1} }, aggregate.ErrInvalid},
		{"empty", nil, func(p *play) []byte { return nil }, aggregate.ErrInvalid},
		{"too large", nil, func(p *play) []byte { return make([]byte, aggregate.MaxRecord+1) }, aggregate.ErrInvalid},
		{"unknown type", nil, func(p *play) []byte { return aggregate.EncodeLeaf(77, aggregate.Tick{}) }, aggregate.ErrInvalid},
		{"leaf as record", nil, func(p *play) []byte { return aggregate.EncodeLeaf(aggregate.LeafStatement, p.w.GenesisStatement()) }, aggregate.ErrInvalid},
		{"genesis again", nil, func(p *play) []byte { return p.w.Genesis() }, aggregate.ErrDuplicate},
		{"tick zero", nil, func(p *play) []byte { return aggregate.TickRecord(0) }, aggregate.ErrInvalid},
		{"tick beyond time", nil, func(p *play) []byte { return aggregate.TickRecord(1 << 62) }, aggregate.ErrInvalid},
		{"tick again", func(p *play) { p.tick(5) }, func(p *play) []byte { return aggregate.TickRecord(5000) }, aggregate.ErrDuplicate},
		{"tick back", func(p *play) { p.tick(5) }, func(p *play) []byte { return aggregate.TickRecord(4999) }, aggregate.ErrLate},
		{"tick far ahead", func(p *play) { p.tick(5) }, func(p *play) []byte { return aggregate.TickRecord(p.m.LastTick() + 1) }, aggregate.ErrEarly},

		{"join of another run", nil, func(p *play) []byte {
			return aggregate.JoinRecord(protocol.Sign(stranger, protocol.Join{Peer: stranger.ID(), Payout: protocol.Address{1}, Nonce: 1}))
		}, aggregate.ErrInvalid},
		{"join with a forged signature", nil, func(p *play) []byte {
			s := protocol.Sign(stranger, protocol.Join{Run: p.w.Run, Peer: p.w.Peers[0].ID(), Payout: protocol.Address{1}, Nonce: 1})
			return aggregate.JoinRecord(s)
		}, aggregate.ErrInvalid},
		{"join without a payout address", nil, func(p *play) []byte {
			return aggregate.JoinRecord(protocol.Sign(stranger, protocol.Join{Run: p.w.Run, Peer: stranger.ID(), Nonce: 1}))
		}, aggregate.ErrInvalid},
		{"join without a nonce", nil, func(p *play) []byte { return p.w.Join(0, 0) }, aggregate.ErrLate},
		{"join again", toOpening, func(p *play) []byte { return p.w.Join(0, 1) }, aggregate.ErrDuplicate},
		{"join replayed after leave", func(p *play) { p.join(0); p.must(p.w.Leave(0, 2)) }, func(p *play) []byte { return p.w.Join(0, 1) }, aggregate.ErrLate},
		{"leave before join", nil, func(p *play) []byte { return p.w.Leave(0, 1) }, aggregate.ErrEarly},

		{"cosign by a stranger", toOpening, func(p *play) []byte { return p.w.Cosign(stranger, duty[aggregate.DutySign](p, 0).Statement) }, aggregate.ErrInvalid},
		{"cosign forged", toOpening, func(p *play) []byte {
			s := duty[aggregate.DutySign](p, 0).Statement
			c := p.w.Cosignature(stranger, &s)
			c.Signer = p.w.Aggs[0].ID()
			return aggregate.CosignRecord(s, c)
		}, aggregate.ErrInvalid},
		{"cosign of another roster", toOpening, func(p *play) []byte {
			s := duty[aggregate.DutySign](p, 0).Statement
			o, _ := protocol.DecodeBody[protocol.Open](&s)
			o.Roster = o.Roster[1:]
			return p.w.Cosign(p.w.Aggs[0], protocol.NewStatement(s.Run, s.Round, s.Prev, *o))
		}, aggregate.ErrDiffers},
		{"cosign twice", func(p *play) { toOpening(p); p.must(p.w.Discharge(p.w.Aggs[0], duty[aggregate.DutySign](p, 0))) }, func(p *play) []byte {
			return p.w.Cosign(p.w.Aggs[0], duty[aggregate.DutySign](p, 1).Statement)
		}, aggregate.ErrDuplicate},
		{"cosign of a final statement", toTrain, func(p *play) []byte { return p.w.Cosign(p.w.Aggs[3], p.final[1].Statement) }, aggregate.ErrLate},
		{"cosign of a final statement again", toTrain, func(p *play) []byte { return p.w.Cosign(p.w.Aggs[0], p.final[1].Statement) }, aggregate.ErrDuplicate},
		{"cosign ahead", toTrain, func(p *play) []byte {
			return p.w.Cosign(p.w.Aggs[0], protocol.NewStatement(p.w.Run, 0, p.final[1].Statement.Digest(), protocol.Freeze{}))
		}, aggregate.ErrEarly},
		{"cosign of a Genesis", toTrain, func(p *play) []byte { return p.w.Cosign(p.w.Aggs[0], p.final[0].Statement) }, aggregate.ErrInvalid},
		{"certificate that does not follow", toMerge, func(p *play) []byte {
			d := duty[aggregate.DutyMerge](p, 0)
			d.Prev = protocol.Digest{1}
			return p.w.Cosign(p.w.Aggs[0], p.w.Certify(d))
		}, aggregate.ErrDiffers},
		{"certificate without a contribution", toMerge, func(p *play) []byte {
			d := duty[aggregate.DutyMerge](p, 0)
			d.RevealSet.Set = d.RevealSet.Set[1:]
			return p.w.Cosign(p.w.Aggs[0], p.w.Certify(d))
		}, aggregate.ErrDiffers},
		{"certificate with a NaN weight", toMerge, func(p *play) []byte {
			s := p.w.Certify(duty[aggregate.DutyMerge](p, 0))
			c, _ := protocol.DecodeBody[protocol.Certificate](&s)
			c.Merge[0].Weight = 0x7fc00000
			return p.w.Cosign(p.w.Aggs[0], protocol.NewStatement(s.Run, s.Round, s.Prev, *c))
		}, aggregate.ErrInvalid},

		{"commit before the open", toOpening, func(p *play) []byte { return p.w.Commit(p.m.View(), 0, "x") }, aggregate.ErrEarly},
		{"commit from outside the roster", toTrain, func(p *play) []byte { return p.w.Commit(p.m.View(), 3, "x") }, aggregate.ErrInvalid},
		{"commit twice", func(p *play) { toTrain(p); p.commit(0) }, func(p *play) []byte { return p.w.Commit(p.m.View(), 0, "honest") }, aggregate.ErrDuplicate},
		{"commit after the freeze", func(p *play) { toTrain(p); p.commit(0); p.tick(1); p.tick(60) }, func(p *play) []byte { return p.w.Commit(p.m.View(), 1, "x") }, aggregate.ErrLate},
		{"commit to another open", toTrain, func(p *play) []byte {
			b := resign(t, p.w.Commit(p.m.View(), 0, "x"), func(c *protocol.Commit) { c.Open = protocol.Digest{1} })
			return aggregate.CommitRecord(protocol.Sign(p.w.Peers[0], b))
		}, aggregate.ErrDiffers},
		{"commit to no steps", toTrain, func(p *play) []byte {
			b := resign(t, p.w.Commit(p.m.View(), 0, "x"), func(c *protocol.Commit) { c.Steps = 0 })
			return aggregate.CommitRecord(protocol.Sign(p.w.Peers[0], b))
		}, aggregate.ErrInvalid},
		{"commit to too many steps", toTrain, func(p *play) []byte {
			b := resign(t, p.w.Commit(p.m.View(), 0, "x"), func(c *protocol.Commit) { c.Steps = 9 })
			return aggregate.CommitRecord(protocol.Sign(p.w.Peers[0], b))
		}, aggregate.ErrInvalid},
		{"commit forged", toTrain, func(p *play) []byte {
			b := resign(t, p.w.Commit(p.m.View(), 0, "x"), func(*protocol.Commit) {})
			return aggregate.CommitRecord(protocol.Sign(stranger, b))
		}, aggregate.ErrInvalid},

		{"attest before the freeze", func(p *play) { toTrain(p); p.commit(0) }, func(p *play) []byte {
			v := p.m.View()
			return p.w.Attest(p.w.Aggs[0], aggregate.DutyGather{Commit: v.Rounds[0].Commits[0]})
		}, aggregate.ErrEarly},
		{"attest to no commit", toReveal, func(p *play) []byte {
			d := duty[aggregate.DutyGather](p, 0)
			d.Commit.Body.Trace = protocol.Digest{1}
			return p.w.Attest(p.w.Aggs[0], d)
		}, aggregate.ErrDiffers},
		{"attest by a stranger", toReveal, func(p *play) []byte { return p.w.Attest(stranger, duty[aggregate.DutyGather](p, 0)) }, aggregate.ErrInvalid},
		{"attest after the reveal set", func(p *play) { toMerge(p) }, func(p *play) []byte {
			return p.w.Attest(p.w.Aggs[3], aggregate.DutyGather{Commit: p.m.View().Rounds[0].Commits[2]}) // three attested
		}, aggregate.ErrLate},

		{"draw before the reveal set", toReveal, func(p *play) []byte {
			return aggregate.DrawRecord(protocol.Sign(p.w.Aggs[0], protocol.Draw{Run: p.w.Run, Verifier: p.w.Aggs[0].ID()}))
		}, aggregate.ErrEarly},
		{"draw with a wrong BLS signature", toCheck, func(p *play) []byte {
			return aggregate.DrawRecord(protocol.Sign(p.w.Aggs[0], protocol.Draw{Run: p.w.Run, Verifier: p.w.Aggs[0].ID()}))
		}, aggregate.ErrInvalid},
		{"draw for a later round", toCheck, func(p *play) []byte {
			return aggregate.DrawRecord(protocol.Sign(p.w.Aggs[0], protocol.Draw{Run: p.w.Run, Round: 3, Verifier: p.w.Aggs[0].ID()}))
		}, aggregate.ErrEarly},

		{"verdict by the wrong verifier", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			return p.w.Verdict(p.w.Aggs[(i+1)%4], d, protocol.Passed)
		}, aggregate.ErrEarly},
		{"verdict on another segment", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			d.Segment++
			return p.w.Verdict(p.w.Aggs[i], d, protocol.Passed)
		}, aggregate.ErrDiffers},
		{"verdict without an outcome", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			return p.w.Verdict(p.w.Aggs[i], d, 0)
		}, aggregate.ErrInvalid},
		{"verdict with an unknown outcome", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			return p.w.Verdict(p.w.Aggs[i], d, 6)
		}, aggregate.ErrInvalid},
		{"verdict on nobody", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			d.Peer = p.w.Peers[3].ID()
			return p.w.Verdict(p.w.Aggs[i], d, protocol.Passed)
		}, aggregate.ErrDiffers},
		{"verdict again", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			p.must(p.w.Verdict(p.w.Aggs[i], d, protocol.Passed))
			return p.w.Verdict(p.w.Aggs[i], d, protocol.Passed)
		}, aggregate.ErrDuplicate},
		{"verdict revised", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			p.must(p.w.Verdict(p.w.Aggs[i], d, protocol.Mismatch))
			return p.w.Verdict(p.w.Aggs[i], d, protocol.Passed)
		}, aggregate.ErrDiffers},
		{"verdict after the duty passed on", toCheck, func(p *play) []byte {
			i, d := verifier(p)
			p.tick(1)
			p.tick(20)
			return p.w.Verdict(p.w.Aggs[i], d, protocol.Passed)
		}, aggregate.ErrLate},
		{"verdict before the draw", toCheck, func(p *play) []byte {
			v := p.m.View().Rounds[0].Checks[0]
			return verdictFor(p, v.Slots[0].Verifier, aggregate.DutyCheck{Peer: v.Peer, Drawer: v.Slots[0].Verifier})
		}, aggregate.ErrEarly},

		{"settlement that is not due", toCheck, func(p *play) []byte {
			return aggregate.SettleRecord(p.w.Settlement(p.w.Aggs[0], aggregate.DutySettle{Epoch: 1}))
		}, aggregate.ErrEarly},
		{"settlement of no epoch", toSettle, func(p *play) []byte {
			return aggregate.SettleRecord(p.w.Settlement(p.w.Aggs[0], aggregate.DutySettle{Epoch: 0}))
		}, aggregate.ErrLate},
		{"settlement by a stranger", toSettle, func(p *play) []byte {
			return aggregate.SettleRecord(p.w.Settlement(stranger, duty[aggregate.DutySettle](p, 0)))
		}, aggregate.ErrInvalid},
		{"settlement on another log", toSettle, func(p *play) []byte {
			d := duty[aggregate.DutySettle](p, 0)
			d.LogRoot = protocol.Digest{1}
			return aggregate.SettleRecord(p.w.Settlement(p.w.Aggs[0], d))
		}, aggregate.ErrDiffers},
		{"settlement forged", toSettle, func(p *play) []byte {
			s := p.w.Settlement(stranger, duty[aggregate.DutySettle](p, 0))
			s.Signer = p.w.Aggs[0].ID()
			return aggregate.SettleRecord(s)
		}, aggregate.ErrInvalid},
		{"settlement with a wrong total", toSettle, func(p *play) []byte {
			s := p.w.Settlement(p.w.Aggs[0], duty[aggregate.DutySettle](p, 0))
			s.Settlement.Total[31]++
			return aggregate.SettleRecord(p.w.SignSettle(p.w.Aggs[0], s))
		}, aggregate.ErrInvalid},
		{"settlement out of order", toSettle, func(p *play) []byte {
			s := p.w.Settlement(p.w.Aggs[0], duty[aggregate.DutySettle](p, 0))
			s.Payouts[0], s.Payouts[1] = s.Payouts[1], s.Payouts[0]
			return aggregate.SettleRecord(p.w.SignSettle(p.w.Aggs[0], s))
		}, aggregate.ErrInvalid},
		{"settlement twice", toSettle, func(p *play) []byte {
			r := p.w.Discharge(p.w.Aggs[0], duty[aggregate.DutySettle](p, 0))
			p.must(r)
			return r
		}, aggregate.ErrDuplicate},

		{"checkpoint of another root", toCheck, func(p *play) []byte {
			d := duty[aggregate.DutyCheckpoint](p, 0)
			d.Root = protocol.Digest{1}
			return p.w.Discharge(p.w.Aggs[0], d)
		}, aggregate.ErrDiffers},
		{"checkpoint of another size", toCheck, func(p *play) []byte {
			d := duty[aggregate.DutyCheckpoint](p, 0)
			d.Size--
			return p.w.Discharge(p.w.Aggs[0], d)
		}, aggregate.ErrLate},
		{"checkpoint beyond the log", toCheck, func(p *play) []byte {
			d := duty[aggregate.DutyCheckpoint](p, 0)
			d.Size += 1000
			return p.w.Discharge(p.w.Aggs[0], d)
		}, aggregate.ErrEarly},
		{"checkpoint too long", toCheck, func(p *play) []byte {
			d := duty[aggregate.DutyCheckpoint](p, 0)
			return aggregate.CheckpointRecord(aggregate.Checkpoint{Size: d.Size, Signer: p.w.Aggs[0].ID(), Note: make([]byte, aggregate.MaxNote+1)})
		}, aggregate.ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(t, oneRoundEpochs)
			if c.stage != nil {
				c.stage(p)
			}
			record := c.record(p)
			err := p.try(record) // checks that nothing changed
			if !errors.Is(err, c.want) || !errors.Is(err, aggregate.ErrRefused) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			var r *aggregate.Refusal
			if !errors.As(err, &r) {
				t.Fatalf("%T is no Refusal", err)
			}
			if again := aggregate.NewRefusal(r.Code(), r.Error()); !errors.Is(again, c.want) || again.Error() != err.Error() {
				t.Fatalf("over the wire: %v", again)
			}
		})
	}
}

func verdictFor(p *play, id protocol.PeerID, d aggregate.DutyCheck) []byte {
	for _, k := range p.w.Aggs {
		if k.ID() == id {
			return p.w.Verdict(k, d, protocol.Passed)
		}
	}
	p.Fatal("no such aggregator")
	return nil
}

func TestNothingBeforeGenesis(t *testing.T) {
	w := newPlay(t, nil).w
	m, err := aggregate.New(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(w.Join(0, 1)); !errors.Is(err, aggregate.ErrEarly) {
		t.Fatal(err)
	}
	unsigned := w.GenesisStatement()
	unsigned.Sigs = unsigned.Sigs[1:]
	if _, err := m.Apply(aggregate.GenesisRecord(unsigned)); !errors.Is(err, aggregate.ErrInvalid) {
		t.Fatal(err)
	}
	if m.Duties(w.Aggs[0].ID()) != nil {
		t.Fatal("duties before Genesis")
	}
}

// A second commit and a second certificate are accepted as evidence, once, and the first counts.
func TestEvidence(t *testing.T) {
	p := newPlay(t, nil)
	toTrain(p)
	p.commit(0)
	p.must(p.w.Commit(p.m.View(), 0, "other"))
	if err := p.try(p.w.Commit(p.m.View(), 0, "third")); !errors.Is(err, aggregate.ErrDiffers) {
		t.Fatal(err)
	}
	p.commit(1, 2)
	p.statements(3)
	d := duty[aggregate.DutyMerge](p, 0)
	p.must(p.w.Cosign(p.w.Aggs[0], p.w.Certify(d)))
	d.Open.Model = protocol.Digest{1}
	other := p.w.Cosign(p.w.Aggs[0], p.w.Certify(d))
	p.must(other)
	if err := p.try(other); !errors.Is(err, aggregate.ErrDiffers) {
		t.Fatal(err)
	}
	p.statements(4)
	want := []aggregate.EvidenceKind{aggregate.EvidenceDoubleCommit, aggregate.EvidenceDoubleCertificate}
	if len(p.fx.Evidence) != len(want) {
		t.Fatalf("evidence %v", p.fx.Evidence)
	}
	for i, e := range p.fx.Evidence {
		if e.Kind != want[i] || e.First == e.Second || e.First.IsZero() {
			t.Errorf("evidence %d: %+v", i, e)
		}
	}
	p.checkLog()
	p.checkContradictions(1)
}

// checkContradictions verifies every leaf of evidence as a stranger would, who has nothing else.
func (p *play) checkContradictions(want int) {
	p.Helper()
	for _, leaf := range p.leaves {
		_, msg, err := aggregate.DecodeRecord(leaf)
		if err != nil {
			p.Fatal(err)
		}
		switch c := msg.(type) {
		case *protocol.Contradiction:
			err = c.Verify(p.w.Run)
		case *protocol.Doubled[protocol.Partial]:
			err = c.Verify(p.w.Run)
		case *protocol.Doubled[protocol.ShardCertificate]:
			err = c.Verify(p.w.Run)
		case *protocol.DoubleSettlement:
			err = p.w.VerifyDoubleSettlement(c)
		default:
			continue
		}
		if err != nil {
			p.Fatal(err)
		}
		want--
	}
	if want != 0 {
		p.Fatalf("%d leaves of evidence too few", want)
	}
}

// Two statements for one step are evidence against their signer, before the step is final and after, once each; a forged
// signature, or one that could not be a leaf, is refused.
func TestDoubleStatement(t *testing.T) {
	p := newPlay(t, nil)
	toTrain(p)
	p.commit(0, 1, 2)
	freeze := duty[aggregate.DutySign](p, 0).Statement
	other := protocol.NewStatement(p.w.Run, 0, freeze.Prev, protocol.Freeze{Commits: []protocol.Frozen{}})
	large := freeze
	large.Body = make([]byte, protocol.MaxMessage-2000)
	refused := func(record []byte, want error) {
		t.Helper()
		if err := p.try(record); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	p.must(p.w.Cosign(p.w.Aggs[0], freeze))
	forged := p.w.Cosignature(p.w.Aggs[1], &other)
	forged.Signer = p.w.Aggs[0].ID()
	refused(aggregate.CosignRecord(other, forged), aggregate.ErrInvalid)
	refused(p.w.Cosign(p.w.Aggs[0], large), aggregate.ErrInvalid)
	refused(p.w.Cosign(p.w.Aggs[1], other), aggregate.ErrDiffers)
	p.must(p.w.Cosign(p.w.Aggs[0], other))
	refused(p.w.Cosign(p.w.Aggs[0], other), aggregate.ErrDiffers)
	p.must(p.w.Cosign(p.w.Aggs[1], freeze))
	p.must(p.w.Cosign(p.w.Aggs[2], freeze)) // final
	p.must(p.w.Cosign(p.w.Aggs[1], other))
	refused(p.w.Cosign(p.w.Aggs[1], other), aggregate.ErrDiffers)
	refused(p.w.Cosign(p.w.Aggs[0], other), aggregate.ErrDiffers)
	refused(p.w.Cosign(p.w.Aggs[3], other), aggregate.ErrLate)
	p.checkContradictions(2)
	p.checkLog()
}

func TestMaySign(t *testing.T) {
	start := time.Unix(1000, 0)
	p := newPlay(t, nil)
	toTrain(p)
	p.commit(0, 1)
	p.tick(1)
	p.tick(60) // the log says that the deadline has passed
	freeze := duty[aggregate.DutySign](p, 0).Statement
	commits := p.m.View().Rounds[0].Commits
	held := []protocol.Digest{commits[0].Digest(), commits[1].Digest()}
	for _, c := range []struct {
		name     string
		now      time.Time
		receipts []protocol.Digest
		want     error
	}{
		{"after the own deadline", start.Add(time.Minute), held, nil},
		{"before the own deadline", start.Add(time.Minute - 1), held, aggregate.ErrEarly},
		{"without a commit that has a receipt", start.Add(time.Hour), append(held, protocol.Digest{1}), aggregate.ErrDiffers},
	} {
		if err := p.m.MaySign(&freeze, c.now, start, c.receipts); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	other := freeze
	other.Prev = protocol.Digest{1}
	if err := p.m.MaySign(&other, start.Add(time.Hour), start, nil); !errors.Is(err, aggregate.ErrDiffers) {
		t.Errorf("another freeze: %v", err)
	}
	p.statements(2)
	p.tick(1)
	p.tick(30) // nobody revealed
	set := duty[aggregate.DutySign](p, 0).Statement
	if err := p.m.MaySign(&set, start.Add(30*time.Second-1), start, nil); !errors.Is(err, aggregate.ErrEarly) {
		t.Errorf("reveal set before the own deadline: %v", err)
	}
	if err := p.m.MaySign(&set, start.Add(30*time.Second), start, nil); err != nil {
		t.Errorf("reveal set after the own deadline: %v", err)
	}
	p = newPlay(t, nil)
	toMerge(p)
	cert := p.w.Certify(duty[aggregate.DutyMerge](p, 0))
	if err := p.m.MaySign(&cert, start, start, nil); err != nil {
		t.Errorf("certificate: %v", err)
	}
	cert.Prev = protocol.Digest{}
	if err := p.m.MaySign(&cert, start, start, nil); !errors.Is(err, aggregate.ErrDiffers) {
		t.Errorf("certificate that does not follow: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := newPlay(t, nil).w.Config()
	for name, change := range map[string]func(*aggregate.Config){
		"no spec":       func(c *aggregate.Config) { c.Spec = nil },
		"no draw check": func(c *aggregate.Config) { c.VerifyDraw = nil },
		"no parameters": func(c *aggregate.Config) { c.Params = 0 },
		"another run":   func(c *aggregate.Config) { c.Run[0]++ },
		"bad spec":      func(c *aggregate.Config) { s := *c.Spec; s.Name = ""; c.Spec = &s },
	} {
		c := good
		change(&c)
		if _, err := aggregate.New(c); err == nil || !strings.HasPrefix(err.Error(), "aggregate: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

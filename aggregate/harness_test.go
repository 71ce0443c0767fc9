package aggregate_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

// tb is what *testing.T and *rapid.T share.
type tb interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// play is a machine with a world around it and a transcript of what happened.
type play struct {
	tb
	w       *aggtest.World
	m       *aggregate.Machine
	now     int64 // seconds
	leaves  [][]byte
	final   []protocol.SignedStatement
	fx      aggregate.Effects // all Faults, Evidence, Convicted, Settled, Checkpoints so far
	log     strings.Builder
	done    map[string]bool // duties taken up, by aggregator and key
	records [][]byte
}

func newPlay(t tb, change func(*protocol.RunSpec)) *play {
	w := aggtest.New(change)
	m, err := aggregate.New(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	p := &play{tb: t, w: w, m: m, done: map[string]bool{}}
	p.must(w.Genesis())
	return p
}

// try applies a record; a refusal must leave no trace.
func (p *play) try(record []byte) error {
	p.Helper()
	before := p.snapshot()
	fx, err := p.m.Apply(record)
	p.records = append(p.records, record)
	p.note(record, fx, err)
	if err != nil {
		if !errors.Is(err, aggregate.ErrRefused) {
			p.Fatalf("not a refusal: %v", err)
		}
		if !bytes.Equal(before, p.snapshot()) {
			p.Fatalf("refused, and the state changed: %v", err)
		}
		return err
	}
	if fx.FirstLeaf != uint64(len(p.leaves)) {
		p.Fatalf("first leaf %d, want %d", fx.FirstLeaf, len(p.leaves))
	}
	p.leaves = append(p.leaves, fx.Leaves...)
	p.final = append(p.final, fx.Final...)
	p.fx.Faults = append(p.fx.Faults, fx.Faults...)
	p.fx.Evidence = append(p.fx.Evidence, fx.Evidence...)
	p.fx.Convicted = append(p.fx.Convicted, fx.Convicted...)
	p.fx.Settled = append(p.fx.Settled, fx.Settled...)
	p.fx.Checkpoints = append(p.fx.Checkpoints, fx.Checkpoints...)
	return nil
}

func (p *play) must(record []byte) {
	p.Helper()
	if err := p.try(record); err != nil {
		p.Fatal(err)
	}
}

func (p *play) snapshot() []byte {
	p.Helper()
	b, err := p.m.Snapshot()
	if err != nil {
		p.Fatal(err)
	}
	return b
}

// control sends an order of the founder with the next nonce; in and out are places among everyone, -1 for nobody.
func (p *play) control(a protocol.Action, in, out int) {
	p.Helper()
	p.must(p.order(a, p.m.View().Nonce+1, in, out))
}

func (p *play) order(a protocol.Action, nonce uint64, in, out int) []byte {
	key := func(i int) *protocol.Key {
		if i < 0 {
			return nil
		}
		return &p.w.Everyone()[i]
	}
	return aggregate.ControlRecord(p.w.Control(a, nonce, key(in), key(out)))
}

// tick lets seconds pass.
func (p *play) tick(seconds int64) {
	p.Helper()
	p.now += seconds
	p.must(aggregate.TickRecord(p.now * 1000))
}

func (p *play) join(peers ...int) {
	p.Helper()
	for _, i := range peers {
		p.must(p.w.Join(i, 1))
	}
}

func (p *play) commit(peers ...int) {
	p.Helper()
	v := p.m.View()
	for _, i := range peers {
		p.must(p.w.Commit(v, i, "honest"))
	}
}

// work lets the given aggregators do what they owe, in turn, until nothing is left; all of them if none is given.
func (p *play) work(aggs ...int) {
	p.Helper()
	if len(aggs) == 0 {
		for i := range p.w.Everyone() {
			aggs = append(aggs, i)
		}
	}
	for progress := true; progress; {
		progress = false
		for _, i := range aggs {
			k := p.w.Everyone()[i]
			for _, d := range p.m.Duties(k.ID()) {
				key := fmt.Sprint(i, d.Key())
				if p.done[key] {
					continue
				}
				p.done[key], progress = true, true
				// Others may have closed it in the meantime: that is the only refusal an honest aggregator meets.
				if err := p.try(p.w.Discharge(k, d)); err != nil && !errors.Is(err, aggregate.ErrLate) {
					p.Fatal(err)
				}
			}
		}
	}
}

// rounds plays whole rounds with these peers until the run is over or the round number is reached.
func (p *play) rounds(upTo uint32, peers ...int) {
	p.Helper()
	for {
		p.work()
		v := p.m.View()
		if v.Round >= upTo || v.Phase == aggregate.PhaseFinished {
			return
		}
		if v.Phase != aggregate.PhaseTrain {
			p.Fatalf("stuck in phase %s of round %d", v.Phase, v.Round)
		}
		p.commitRostered(peers...)
	}
}

// commitRostered commits for those of the peers that are in the roster.
func (p *play) commitRostered(peers ...int) {
	p.Helper()
	v := p.m.View()
	for _, i := range peers {
		if slices.Contains(v.Rounds[len(v.Rounds)-1].Roster, p.w.Peers[i].ID()) {
			p.must(p.w.Commit(v, i, "honest"))
		}
	}
}

// note writes a record and what it did into the transcript.
func (p *play) note(record []byte, fx aggregate.Effects, err error) {
	fmt.Fprintf(&p.log, "> %s\n", p.describe(record))
	if err != nil {
		text := err.Error()
		for _, k := range append(append(p.w.Everyone(), p.w.Peers...), p.w.Founder) {
			text = strings.ReplaceAll(text, k.ID().Short(), p.w.Name(k.ID()))
		}
		fmt.Fprintf(&p.log, "    refused: %s\n", text)
		return
	}
	for _, leaf := range fx.Leaves {
		fmt.Fprintf(&p.log, "    leaf %s\n", p.describe(leaf))
	}
	for _, f := range fx.Faults {
		of := ""
		if f.Peer != (protocol.PeerID{}) {
			of = " on " + p.w.Name(f.Peer)
		}
		fmt.Fprintf(&p.log, "    fault %s: %s%s in round %d\n", p.w.Name(f.Aggregator), f.Kind, of, f.Round)
	}
	for _, e := range fx.Evidence {
		fmt.Fprintf(&p.log, "    evidence %s: %s in round %d\n", p.w.Name(e.Who), e.Kind, e.Round)
	}
	for _, c := range fx.Convicted {
		fmt.Fprintf(&p.log, "    convicted %s: segment %d of round %d, drawn by %s\n", p.w.Name(c.Peer), c.Segment, c.Round, p.w.Name(c.Drawer))
	}
	for _, s := range fx.Settled {
		fmt.Fprintf(&p.log, "    settled epoch %d: total %s\n", s.Settlement.Epoch, s.Settlement.Total)
	}
	for _, c := range fx.Checkpoints {
		fmt.Fprintf(&p.log, "    checkpoint %d %s\n", c.Size, c.Root.Short())
	}
	v := p.m.View()
	fmt.Fprintf(&p.log, "    %s, round %d\n", v.Phase, v.Round)
}

func (p *play) describe(data []byte) string {
	kind, msg, err := aggregate.DecodeRecord(data)
	if err != nil {
		return "garbage"
	}
	name := p.w.Name
	switch v := msg.(type) {
	case *aggregate.Tick:
		return fmt.Sprintf("tick %d s", v.UnixMilli/1000)
	case *protocol.Signed[protocol.Join]:
		return fmt.Sprintf("join %s, nonce %d", name(v.Body.Peer), v.Body.Nonce)
	case *protocol.Signed[protocol.Leave]:
		return fmt.Sprintf("leave %s, nonce %d", name(v.Body.Peer), v.Body.Nonce)
	case *protocol.Signed[protocol.Commit]:
		return fmt.Sprintf("commit %s to round %d, %d steps, %s", name(v.Body.Peer), v.Body.Round, v.Body.Steps, v.Digest().Short())
	case *aggregate.Cosign:
		return fmt.Sprintf("cosign %s of %s %d %s", name(v.Cosignature.Signer), v.Statement.Kind, v.Statement.Round, v.Statement.Digest().Short())
	case *protocol.Signed[protocol.Attest]:
		text := fmt.Sprintf("attest %s to %s in round %d", name(v.Body.Aggregator), name(v.Body.Peer), v.Body.Round)
		if len(v.Body.Shards) > 0 {
			text += fmt.Sprint(", shards ", v.Body.Shards)
		}
		return text
	case *aggregate.Partial:
		b := &v.Message.Body
		return fmt.Sprintf("partial %s for shard %d, %d bytes of %s", name(b.Aggregator), b.Shard, len(v.Sums), b.Sums.Short())
	case *protocol.Signed[protocol.ShardCertificate]:
		return fmt.Sprintf("shard certificate %s for shard %d, model %s", name(v.Body.Aggregator), v.Body.Shard, v.Body.Model.Short())
	case *protocol.Signed[protocol.Draw]:
		return fmt.Sprintf("draw %s for round %d", name(v.Body.Verifier), v.Body.Round)
	case *protocol.Signed[protocol.Verdict]:
		return fmt.Sprintf("verdict %s on %s in round %d, segment %d drawn by %s: %s", name(v.Body.Verifier), name(v.Body.Peer), v.Body.Round, v.Body.Segment, name(v.Body.Drawer), v.Body.Outcome)
	case *aggregate.Settle:
		return fmt.Sprintf("settle %s epoch %d, total %s", name(v.Signer), v.Settlement.Epoch, v.Settlement.Total)
	case *protocol.Signed[protocol.Control]:
		return p.describeControl(&v.Body)
	case *aggregate.Rotate:
		return fmt.Sprintf("rotate %s, sequence %d", name(v.Signer), v.Rotation.Sequence)
	case *aggregate.Rotated:
		return fmt.Sprintf("rotation %d after epoch %d, %d signatures", v.Rotation.Sequence, v.Epoch, len(v.Sigs))
	case *protocol.Contradiction:
		return fmt.Sprintf("evidence: %s signed %s %d %s and %s %d %s", name(v.Signer), v.First.Kind, v.First.Round, v.First.Digest().Short(),
			v.Second.Kind, v.Second.Round, v.Second.Digest().Short())
	case *protocol.DoubleSettlement:
		return fmt.Sprintf("evidence: %s signed totals %s and %s of epoch %d", name(v.Signer), v.First.Total, v.Second.Total, v.First.Epoch)
	case *protocol.Doubled[protocol.ShardCertificate]:
		return fmt.Sprintf("evidence: %s signed %s and %s of shard %d", name(v.First.Body.Aggregator), v.First.Digest().Short(), v.Second.Digest().Short(), v.First.Body.Shard)
	case *protocol.Doubled[protocol.Partial]:
		return fmt.Sprintf("evidence: %s signed sums %s and %s of shard %d", name(v.First.Body.Aggregator), v.First.Body.Sums.Short(), v.Second.Body.Sums.Short(),
			v.First.Body.Shard)
	case *aggregate.Checkpoint:
		return fmt.Sprintf("checkpoint %s, size %d", name(v.Signer), v.Size)
	case *protocol.SignedStatement:
		return fmt.Sprintf("%s: %s", kind, p.describeStatement(&v.Statement))
	case *aggregate.SettledEpoch:
		return fmt.Sprintf("settlement of epoch %d, %d signatures", v.Settlement.Epoch, len(v.Sigs))
	}
	return fmt.Sprint(kind)
}

func (p *play) describeControl(c *protocol.Control) string {
	text := fmt.Sprintf("control %d: %s", c.Nonce, c.Action)
	for i := range c.Add {
		text += " in " + p.w.Name(c.Add[i].Body.Aggregator.ID)
	}
	for _, id := range c.Remove {
		text += " out " + p.w.Name(id)
	}
	return text
}

func (p *play) describeStatement(s *protocol.Statement) string {
	var names []string
	add := func(id protocol.PeerID) { names = append(names, p.w.Name(id)) }
	switch s.Kind {
	case protocol.KindOpen:
		b, _ := protocol.DecodeBody[protocol.Open](s)
		for _, id := range b.Roster {
			add(id)
		}
	case protocol.KindFreeze:
		b, _ := protocol.DecodeBody[protocol.Freeze](s)
		for _, c := range b.Commits {
			add(c.Peer)
		}
	case protocol.KindRevealSet:
		b, _ := protocol.DecodeBody[protocol.RevealSet](s)
		for _, c := range b.Set {
			add(c.Peer)
		}
	case protocol.KindCouncil:
		b, _ := protocol.DecodeBody[protocol.NewCouncil](s)
		for _, a := range b.Aggregators {
			add(a.ID)
		}
		names = append(names, fmt.Sprint("threshold ", b.Threshold))
	case protocol.KindCertificate:
		b, _ := protocol.DecodeBody[protocol.Certificate](s)
		names = append(names, "model "+b.Model.Short())
	}
	return fmt.Sprintf("%s %d %s %v", s.Kind, s.Round, s.Digest().Short(), names)
}

var _ tb = (*testing.T)(nil)

package gossip

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"drystone/protocol"
)

// world is a run with real keys and signatures, at a point that a test chooses.
type world struct {
	spec    *protocol.RunSpec
	run     protocol.Digest
	members []protocol.Key // aggregators, ascending by ID
	founder protocol.Key
	trainer protocol.Key
	other   protocol.Key // rostered, commits nothing
	alien   protocol.Key // not rostered

	genesis, open, freeze protocol.Statement
	commit                protocol.Signed[protocol.Commit]
	reveals               []*protocol.Reveal
	frozen                protocol.Freeze

	view stateView
}

// stateView is a RoundView that tests set by hand.
type stateView struct {
	council *protocol.Council
	opened  bool
	round   uint32
	open    protocol.Digest
	roster  []protocol.PeerID
	commits map[protocol.PeerID]*protocol.Commit
	freeze  *protocol.Freeze
	shards  []uint32
	known   map[protocol.Digest]bool
}

func (v *stateView) Council() (*protocol.Council, bool)      { return v.council, v.council != nil }
func (v *stateView) Round() (uint32, protocol.Digest, bool)  { return v.round, v.open, v.opened }
func (v *stateView) Rostered(p protocol.PeerID) bool         { return slices.Contains(v.roster, p) }
func (v *stateView) Shards(uint32, protocol.PeerID) []uint32 { return v.shards }
func (v *stateView) Frozen() (*protocol.Freeze, bool)        { return v.freeze, v.freeze != nil }
func (v *stateView) Known(s *protocol.SignedStatement) bool  { return v.known[s.Statement.Digest()] }
func (v *stateView) Commit(p protocol.PeerID) (*protocol.Commit, bool) {
	c := v.commits[p]
	return c, c != nil
}

const testParams = 10000 // three shards of 4096

func newWorld(t testing.TB) *world {
	w := &world{founder: protocol.DeriveKey(3, "founder"), trainer: protocol.DeriveKey(3, "trainer"),
		other: protocol.DeriveKey(3, "other"), alien: protocol.DeriveKey(3, "alien")}
	w.spec = &protocol.RunSpec{Founder: w.founder.ID(), Train: protocol.TrainSpec{Rounds: 9, Steps: 6, Segment: 2},
		Codec: protocol.CodecSpec{ShardParams: 4096}, Quorum: protocol.QuorumSpec{Aggregators: 4, Threshold: 3}}
	var err error
	if w.run, err = w.spec.ID(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		w.members = append(w.members, protocol.DeriveKey(3, name))
	}
	slices.SortFunc(w.members, byID)
	g := protocol.Genesis{Founder: w.founder.ID(), Threshold: 3, Params: testParams}
	for _, k := range w.members {
		g.Aggregators = append(g.Aggregators, protocol.Aggregator{ID: k.ID()})
	}
	w.genesis = protocol.NewStatement(w.run, 0, protocol.Digest{}, g)
	roster := []protocol.PeerID{w.trainer.ID(), w.other.ID()}
	slices.SortFunc(roster, func(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) })
	w.open = protocol.NewStatement(w.run, 4, protocol.Hash("before"), protocol.Open{Roster: roster})
	w.contribute()
	w.freeze = protocol.NewStatement(w.run, 4, w.open.Digest(), w.frozen)
	w.view = stateView{council: &protocol.Council{Run: w.run, Threshold: 3, Members: g.Aggregators}, opened: true, round: 4,
		open: w.open.Digest(), roster: roster, commits: map[protocol.PeerID]*protocol.Commit{}, known: map[protocol.Digest]bool{}}
	return w
}

func byID(a, b protocol.Key) int {
	x, y := a.ID(), b.ID()
	return bytes.Compare(x[:], y[:])
}

// contribute makes the trainer's trace, commit, frozen root and reveals.
func (w *world) contribute() {
	id := w.trainer.ID()
	var payloads []protocol.Digest
	for i := range 3 {
		r := &protocol.Reveal{Run: w.run, Round: 4, Peer: id, Shard: uint32(i), Payload: bytes.Repeat([]byte{byte(i)}, 40000), Salt: [16]byte{byte(i)}}
		payloads = append(payloads, protocol.PayloadLeaf(id, r.Shard, r.Payload, r.Salt))
		w.reveals = append(w.reveals, r)
	}
	start := protocol.TraceStart{Model: protocol.Hash("model")}
	end := protocol.TraceEnd{Payload: protocol.RootOf(payloads)}
	trace := []protocol.Digest{start.Leaf()}
	for s := range uint32(3) {
		trace = append(trace, protocol.TraceState{Step: 2 * (s + 1)}.Leaf())
	}
	trace = append(trace, end.Leaf())
	w.commit = protocol.Sign(w.trainer, protocol.Commit{Run: w.run, Round: 4, Peer: id, Open: w.open.Digest(),
		Trace: protocol.RootOf(trace), Steps: 6})
	leaves := []protocol.Digest{protocol.FrozenLeaf(w.commit.Digest())}
	w.frozen = protocol.Freeze{Root: protocol.RootOf(leaves), Commits: []protocol.Frozen{{Peer: id, Commit: w.commit.Digest()}}}
	for i, r := range w.reveals {
		r.ShardPath = protocol.PathTo(payloads, i)
		r.Start, r.StartPath = start, protocol.PathTo(trace, 0)
		r.End, r.EndPath = end, protocol.PathTo(trace, len(trace)-1)
		r.Frozen = protocol.PathTo(leaves, 0)
	}
}

// cosign signs a statement with the given keys, in order of their IDs.
func cosign(s protocol.Statement, keys ...protocol.Key) []byte {
	slices.SortFunc(keys, byID)
	signed := &protocol.SignedStatement{Statement: s}
	for _, k := range keys {
		signed.Sigs = append(signed.Sigs, protocol.Cosignature{Signer: k.ID(), Sig: k.SignDigest(s.Digest())})
	}
	return signed.Encode()
}

func (w *world) validator(t testing.TB) *Validator {
	t.Helper()
	v, err := NewValidator(w.spec, testParams, &w.view)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func judge(f ValidateFunc, from protocol.PeerID, data []byte) Verdict {
	return f(context.Background(), from, data)
}

func TestValidateCommit(t *testing.T) {
	type edit = func(w *world, c *protocol.Commit)
	for _, tc := range []struct {
		name string
		edit edit
		want Verdict
	}{
		{"good", func(*world, *protocol.Commit) {}, Accept},
		{"of another run", func(_ *world, c *protocol.Commit) { c.Run[0]++ }, Reject},
		{"no steps", func(_ *world, c *protocol.Commit) { c.Steps = 0 }, Reject},
		{"too many steps", func(_ *world, c *protocol.Commit) { c.Steps = 7 }, Reject},
		{"fewer steps", func(_ *world, c *protocol.Commit) { c.Steps = 1 }, Accept},
		{"next round", func(_ *world, c *protocol.Commit) { c.Round = 5 }, Later},
		{"far round", func(_ *world, c *protocol.Commit) { c.Round = 6 }, Ignore},
		{"past round", func(_ *world, c *protocol.Commit) { c.Round = 3 }, Ignore},
		{"round long over", func(_ *world, c *protocol.Commit) { c.Round = 2 }, Stale},
		{"published by another", func(*world, *protocol.Commit) {}, Reject},
		{"round beyond the run", func(_ *world, c *protocol.Commit) { c.Round = 9 }, Reject},
		{"other open", func(_ *world, c *protocol.Commit) { c.Open[0]++ }, Ignore},
		{"not rostered", func(w *world, c *protocol.Commit) { c.Peer = w.alien.ID() }, Reject},
		{"signed by another", func(w *world, c *protocol.Commit) { c.Peer = w.other.ID() }, Reject},
		{"a second one", func(w *world, c *protocol.Commit) { w.view.commits[c.Peer] = &w.commit.Body; c.Steps = 5 }, Ignore},
		{"after the freeze", func(w *world, _ *protocol.Commit) { w.view.freeze = &w.frozen }, Ignore},
		{"before the first open", func(w *world, _ *protocol.Commit) { w.view.opened = false }, Ignore},
		{"of round 0 before the first open", func(w *world, c *protocol.Commit) { w.view.opened = false; c.Round = 0 }, Later},
	} {
		w := newWorld(t)
		c := w.commit.Body
		tc.edit(w, &c)
		signed := protocol.Sign(w.trainer, c)
		from := c.Peer
		if tc.name == "published by another" {
			from = w.other.ID()
		}
		if got := judge(w.validator(t).Commit, from, signed.Encode()); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestValidateReveal(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(w *world, r *protocol.Reveal)
		want Verdict
	}{
		{"good", func(*world, *protocol.Reveal) {}, Accept},
		{"of another run", func(_ *world, r *protocol.Reveal) { r.Run[0]++ }, Reject},
		{"of a shard that is not assigned", func(w *world, _ *protocol.Reveal) { w.view.shards = []uint32{0, 2} }, Reject},
		{"of one shard of fewer", func(w *world, _ *protocol.Reveal) { w.view.shards = []uint32{1, 2} }, Reject},
		{"on another shard's topic", func(_ *world, r *protocol.Reveal) { r.Shard = 2 }, Reject},
		{"payload", func(_ *world, r *protocol.Reveal) { r.Payload[7] ^= 1 }, Reject},
		{"salt", func(_ *world, r *protocol.Reveal) { r.Salt[0] ^= 1 }, Reject},
		{"shard path", func(_ *world, r *protocol.Reveal) { r.ShardPath.Nodes[0][0] ^= 1 }, Reject},
		{"shard path of another place", func(_ *world, r *protocol.Reveal) { r.ShardPath.Index = 2 }, Reject},
		{"trace start", func(_ *world, r *protocol.Reveal) { r.Start.Model[0] ^= 1 }, Reject},
		{"trace end", func(_ *world, r *protocol.Reveal) { r.End.Feedback[0] ^= 1 }, Reject},
		{"end path", func(_ *world, r *protocol.Reveal) { r.EndPath.Nodes = nil }, Reject},
		{"frozen path", func(_ *world, r *protocol.Reveal) { r.Frozen.Nodes = append(r.Frozen.Nodes, protocol.Digest{}) }, Reject},
		{"of one not rostered", func(w *world, r *protocol.Reveal) { r.Peer = w.alien.ID() }, Reject},
		{"of one without a commit", func(w *world, r *protocol.Reveal) { r.Peer = w.other.ID() }, Later},
		{"commit not seen", func(w *world, _ *protocol.Reveal) { clear(w.view.commits) }, Later},
		{"before the freeze", func(w *world, _ *protocol.Reveal) { w.view.freeze = nil }, Later},
		{"frozen without it", func(w *world, _ *protocol.Reveal) { w.view.freeze = &protocol.Freeze{} }, Ignore},
		{"another commit seen than frozen", func(w *world, r *protocol.Reveal) {
			c := w.commit.Body
			c.Steps = 5
			w.view.commits[r.Peer] = &c
		}, Later},
		{"next round", func(_ *world, r *protocol.Reveal) { r.Round = 5 }, Later},
		{"past round", func(_ *world, r *protocol.Reveal) { r.Round = 3 }, Ignore},
		{"round long over", func(_ *world, r *protocol.Reveal) { r.Round = 2 }, Stale},
		{"published by another", func(*world, *protocol.Reveal) {}, Reject},
		{"round beyond the run", func(_ *world, r *protocol.Reveal) { r.Round = 9 }, Reject},
	} {
		w := newWorld(t)
		w.view.freeze = &w.frozen
		w.view.commits[w.trainer.ID()] = &w.commit.Body
		tc.edit(w, w.reveals[1])
		from := w.reveals[1].Peer
		if tc.name == "published by another" {
			from = w.other.ID()
		}
		if got := judge(w.validator(t).Shard(1), from, w.reveals[1].Encode()); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	w := newWorld(t)
	if n := w.validator(t).Shards(); n != 3 {
		t.Errorf("%d shards", n)
	}
}

func TestValidateStatement(t *testing.T) {
	quorum := func(w *world) []protocol.Key { return slices.Clone(w.members[:3]) }
	all := func(w *world) []protocol.Key { return append(slices.Clone(w.members), w.founder) }
	for _, tc := range []struct {
		name string
		make func(w *world) []byte
		want Verdict
		cert bool // judged by Cert
	}{
		{name: "open", make: func(w *world) []byte { return cosign(w.open, quorum(w)...) }, want: Accept},
		{name: "freeze", make: func(w *world) []byte { return cosign(w.freeze, quorum(w)...) }, want: Accept},
		{name: "of a later round", make: func(w *world) []byte {
			return cosign(protocol.NewStatement(w.run, 7, protocol.Hash("x"), protocol.Open{}), quorum(w)...)
		}, want: Accept},
		{name: "of a past round", make: func(w *world) []byte {
			return cosign(protocol.NewStatement(w.run, 3, protocol.Hash("x"), protocol.Open{}), quorum(w)...)
		}, want: Ignore},
		{name: "of a round long over", make: func(w *world) []byte {
			return cosign(protocol.NewStatement(w.run, 2, protocol.Hash("x"), protocol.Open{}), quorum(w)...)
		}, want: Stale},
		{name: "of a round beyond the run", make: func(w *world) []byte {
			return cosign(protocol.NewStatement(w.run, 9, protocol.Hash("x"), protocol.Open{}), quorum(w)...)
		}, want: Reject},
		{name: "already known", make: func(w *world) []byte {
			w.view.known[w.open.Digest()] = true
			return cosign(w.open, w.members...)
		}, want: Ignore},
		{name: "too few signatures", make: func(w *world) []byte { return cosign(w.open, w.members[:2]...) }, want: Reject},
		{name: "one signer twice", make: func(w *world) []byte {
			return cosign(w.open, w.members[0], w.members[1], w.members[1])
		}, want: Reject},
		{name: "a signer from outside", make: func(w *world) []byte { return cosign(w.open, append(quorum(w), w.alien)...) }, want: Reject},
		{name: "a wrong signature", make: func(w *world) []byte {
			b := cosign(w.open, quorum(w)...)
			b[len(b)-1] ^= 1
			return b
		}, want: Reject},
		{name: "of another run", make: func(w *world) []byte {
			s := w.open
			s.Run[0]++
			return cosign(s, quorum(w)...)
		}, want: Reject},
		{name: "of no kind", make: func(w *world) []byte {
			s := w.open
			s.Kind = 0
			return cosign(s, quorum(w)...)
		}, want: Reject},
		{name: "body of another kind", make: func(w *world) []byte {
			s := w.open
			s.Body = w.genesis.Body
			return cosign(s, quorum(w)...)
		}, want: Reject},
		{name: "before the Genesis is known", make: func(w *world) []byte {
			w.view.council = nil
			return cosign(w.open, quorum(w)...)
		}, want: Later},
		{name: "Genesis", make: func(w *world) []byte {
			w.view.council, w.view.opened = nil, false
			return cosign(w.genesis, all(w)...)
		}, want: Accept},
		{name: "Genesis without the founder", make: func(w *world) []byte {
			w.view.council, w.view.opened = nil, false
			return cosign(w.genesis, w.members...)
		}, want: Reject},
		{name: "council", make: func(w *world) []byte { return cosign(council(w, 5), quorum(w)...) }, want: Accept},
		{name: "end", make: func(w *world) []byte {
			return cosign(protocol.NewStatement(w.run, 5, protocol.Hash("certificate"), protocol.End{}), quorum(w)...)
		}, want: Accept},
		{name: "next round's by an unknown council", make: func(w *world) []byte {
			s := protocol.NewStatement(w.run, 5, protocol.Hash("council"), protocol.Open{})
			return cosign(s, append(quorum(w)[:2], w.alien)...)
		}, want: Later},
		{name: "far round's by an unknown council", make: func(w *world) []byte {
			s := protocol.NewStatement(w.run, 7, protocol.Hash("x"), protocol.Open{})
			return cosign(s, append(quorum(w)[:2], w.alien)...)
		}, want: Ignore},
		{name: "next round's with a false signature", make: func(w *world) []byte {
			b := cosign(council(w, 5), quorum(w)...)
			b[len(b)-1] ^= 1
			return b
		}, want: Reject},
		{name: "council on cert", make: func(w *world) []byte { return cosign(council(w, 5), quorum(w)...) }, want: Reject, cert: true},
		{name: "certificate on control", make: func(w *world) []byte { return cosign(certificate(w), quorum(w)...) }, want: Reject},
		{name: "certificate", make: func(w *world) []byte { return cosign(certificate(w), quorum(w)...) }, want: Accept, cert: true},
		{name: "open on cert", make: func(w *world) []byte { return cosign(w.open, quorum(w)...) }, want: Reject, cert: true},
	} {
		w := newWorld(t)
		data := tc.make(w)
		v := w.validator(t)
		f := v.Control
		if tc.cert {
			f = v.Cert
		}
		if got := judge(f, w.alien.ID(), data); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func council(w *world, round uint32) protocol.Statement {
	return protocol.NewStatement(w.run, round, protocol.Hash("certificate"), protocol.NewCouncil{Threshold: 3})
}

func certificate(w *world) protocol.Statement {
	return protocol.NewStatement(w.run, 4, protocol.Hash("reveal set"), protocol.Certificate{})
}

// Garbage and anything too large is rejected on every topic, and nothing that is not the exact message is accepted.
func FuzzValidate(f *testing.F) {
	w := newWorld(f)
	w.view.commits[w.trainer.ID()] = &w.commit.Body
	frozen := w.view
	frozen.freeze = &w.frozen
	open := w.view
	open.commits = map[protocol.PeerID]*protocol.Commit{}
	before, err := NewValidator(w.spec, testParams, &open)
	if err != nil {
		f.Fatal(err)
	}
	after, err := NewValidator(w.spec, testParams, &frozen)
	if err != nil {
		f.Fatal(err)
	}
	good := map[string]bool{}
	for _, b := range [][]byte{w.commit.Encode(), w.reveals[0].Encode(), cosign(w.open, w.members[:3]...), cosign(w.genesis, append(w.members, w.founder)...)} {
		f.Add(b)
		f.Add(b[:len(b)/2])
		good[string(b)] = true
	}
	f.Add(bytes.Repeat([]byte{0x81}, 1000))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, judged := range map[string]ValidateFunc{"commit": before.Commit, "shard": after.Shard(0), "control": before.Control, "cert": before.Cert} {
			if v := judge(judged, w.trainer.ID(), data); v == Accept && !good[string(data)] {
				t.Fatalf("%s accepts %x", name, data)
			}
		}
	})
}

func TestValidatorRejectsOversize(t *testing.T) {
	v := newWorld(t).validator(t)
	for name, f := range map[string]ValidateFunc{"commit": v.Commit, "shard": v.Shard(0), "control": v.Control, "cert": v.Cert} {
		if got := judge(f, protocol.PeerID{}, make([]byte, protocol.MaxMessage+1)); got != Reject {
			t.Errorf("%s: %s", name, got)
		}
	}
	if _, err := NewValidator(&protocol.RunSpec{}, 1, nil); err == nil {
		t.Error("a validator for an empty spec")
	}
}

package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"drystone/internal/durable"
	"drystone/protocol"
)

// links is a run's statement chain across a change of the council and an early end, with the keys that sign it.
type links struct {
	spec protocol.RunSpec
	run  protocol.Digest
	aggs []protocol.Key // 0 to 3 of the Genesis; 4 comes in for 0
	list []*protocol.SignedStatement
}

func signedBy(s protocol.Statement, keys ...protocol.Key) *protocol.SignedStatement {
	out := &protocol.SignedStatement{Statement: s}
	for _, k := range keys {
		out.Sigs = append(out.Sigs, protocol.Cosignature{Signer: k.ID(), Sig: k.SignDigest(s.Digest())})
	}
	slices.SortFunc(out.Sigs, func(a, b protocol.Cosignature) int { return slices.Compare(a.Signer[:], b.Signer[:]) })
	return out
}

func newChain(t *testing.T) *links {
	c := &links{spec: tinySpec(1, 4, 1, tinyData())}
	var err error
	if c.run, err = c.spec.ID(); err != nil {
		t.Fatal(err)
	}
	founder := protocol.DeriveKey(1, "aggregator/0")
	others := []protocol.Key{protocol.DeriveKey(1, "x1"), protocol.DeriveKey(1, "x2"), protocol.DeriveKey(1, "x3"), protocol.DeriveKey(1, "x4")}
	c.aggs = []protocol.Key{others[0], founder, others[1], others[2], others[3]}
	set := func(keys ...protocol.Key) (out []protocol.Aggregator) {
		for _, k := range keys {
			out = append(out, protocol.Aggregator{ID: k.ID(), Addrs: []string{}})
		}
		slices.SortFunc(out, func(a, b protocol.Aggregator) int { return slices.Compare(a.ID[:], b.ID[:]) })
		return out
	}
	old, next := c.aggs[:4], c.aggs[1:]
	g := protocol.Genesis{Founder: founder.ID(), Aggregators: set(old...), Threshold: 3, Params: 1}
	c.list = append(c.list, signedBy(protocol.NewStatement(c.run, 0, protocol.Digest{}, g), old...))
	head := func() protocol.Digest { return c.list[len(c.list)-1].Statement.Digest() }
	link := func(s protocol.Statement, keys []protocol.Key) { c.list = append(c.list, signedBy(s, keys...)) }
	round := func(r uint32, keys []protocol.Key) {
		link(protocol.NewStatement(c.run, r, head(), protocol.Open{}), keys)
		link(protocol.NewStatement(c.run, r, head(), protocol.Freeze{}), keys)
		link(protocol.NewStatement(c.run, r, head(), protocol.RevealSet{}), keys)
		link(protocol.NewStatement(c.run, r, head(), protocol.Certificate{}), keys)
	}
	round(0, old[:3])
	link(protocol.NewStatement(c.run, 1, head(), protocol.NewCouncil{Aggregators: set(next...), Threshold: 3}), old[:3])
	round(1, next[1:])
	link(protocol.NewStatement(c.run, 2, head(), protocol.End{}), next[1:])
	return c
}

// The chain is verified by the set of each place, found by kind and round, and read again from the disk.
func TestHistoryAcrossCouncils(t *testing.T) {
	c, dir := newChain(t), t.TempDir()
	h, err := openHistory(dir, &c.spec, c.run, false)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range c.list {
		if i+1 < len(c.list) {
			if added, err := h.add(c.list[i+1]); added || err != nil {
				t.Fatalf("statement %d before its turn: %v, %v", i+1, added, err)
			}
		}
		if added, err := h.add(s); !added || err != nil {
			t.Fatalf("statement %d: %v, %v", i, added, err)
		}
		if added, err := h.add(s); added || err != nil {
			t.Fatalf("statement %d again: %v, %v", i, added, err)
		}
	}
	again, err := openHistory(dir, &c.spec, c.run, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range []*history{h, again} {
		council, _ := h.rules()
		if _, ok := council.Member(c.aggs[4].ID()); !ok || h.rounds() != 2 || !h.ended() || len(h.councilChanges()) != 1 || h.newestOpen().Statement.Round != 1 {
			t.Errorf("council %+v, %d rounds, ended %v, %d changes", council, h.rounds(), h.ended(), len(h.councilChanges()))
		}
		if _, s, err := statementOf[protocol.Certificate](h, protocol.KindCertificate, 1); err != nil || s != h.at(9) {
			t.Errorf("Certificate 1: %v", err)
		}
		if _, _, err := statementOf[protocol.Open](h, protocol.KindOpen, 2); !errors.Is(err, errEnded) {
			t.Errorf("Open 2 after the End: %v", err)
		}
	}
}

// Who may sign what: the set before a change signs it, the one after it everything later; a second statement in a taken
// place is a fork if the set of that place signed it, and nothing otherwise.
func TestHistoryRefuses(t *testing.T) {
	c := newChain(t)
	old, next := c.aggs[:4], c.aggs[1:]
	fill := func(n int) *history {
		h, err := openHistory(t.TempDir(), &c.spec, c.run, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.list[:n] {
			if _, err := h.add(s); err != nil {
				t.Fatal(err)
			}
		}
		return h
	}
	open := protocol.NewStatement(c.run, 1, c.list[4].Statement.Digest(), protocol.Open{}) // in place of the Council
	late := c.list[6].Statement
	late.Body = append(slices.Clone(late.Body), 0)
	for name, tt := range map[string]struct {
		have int
		s    *protocol.SignedStatement
		want error
	}{
		"the change, signed by the new set":      {5, signedBy(c.list[5].Statement, next[1:]...), protocol.ErrNoQuorum},
		"the next Open, signed by the old set":   {6, signedBy(c.list[6].Statement, old[:3]...), protocol.ErrNoQuorum},
		"an Open in place of the change":         {8, signedBy(open, old[1:]...), errForked},
		"the same by the new set":                {8, signedBy(open, next[1:]...), nil},
		"another Open of a round":                {8, signedBy(late, next[1:]...), errForked},
		"another Open of a round by the old set": {8, signedBy(late, old[:3]...), nil},
	} {
		h := fill(tt.have)
		added, err := h.add(tt.s)
		if added || !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, %v, want %v", name, added, err, tt.want)
		}
		kept, _ := filepath.Glob(filepath.Join(h.dir, "evidence", "*.cbor"))
		if tt.want != errForked {
			if len(kept) > 0 {
				t.Errorf("%s: evidence %v", name, kept)
			}
			continue
		}
		if len(kept) < 2 { // two quorums of 3 of 4 share at least two
			t.Errorf("%s: %d files of evidence", name, len(kept))
		}
		for _, path := range kept {
			var x protocol.Contradiction
			data, err := os.ReadFile(path)
			if err == nil {
				err = protocol.Decode(data, 2*protocol.MaxMessage, &x)
			}
			if err == nil {
				err = x.Verify(c.run)
			}
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := openHistory(h.dir, &c.spec, c.run, false); err != nil {
			t.Errorf("%s: the history beside the evidence: %v", name, err)
		}
	}
}

// What lies on the disk is the run's chain or is refused: by digest everywhere, by signatures where later statements do
// not vouch for it.
func TestHistoryFromDisk(t *testing.T) {
	c := newChain(t)
	last := len(c.list) - 1
	forged := func(i int) *protocol.SignedStatement { // signed by too few
		s := *c.list[i]
		s.Sigs = s.Sigs[:1]
		return &s
	}
	changed := *c.list[3]
	changed.Statement.Body = append(slices.Clone(changed.Statement.Body), 0)
	for name, tt := range map[string]struct {
		at int
		s  *protocol.SignedStatement
		ok bool
	}{
		"as it was":                         {3, c.list[3], true},
		"another body":                      {3, &changed, false},
		"no quorum under the Genesis":       {0, forged(0), false},
		"no quorum under a Council":         {5, forged(5), false},
		"no quorum under the last one":      {last, forged(last), false},
		"no quorum under one in the middle": {3, forged(3), true},
	} {
		dir := t.TempDir()
		h, err := openHistory(dir, &c.spec, c.run, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range c.list {
			if _, err := h.add(s); err != nil {
				t.Fatal(err)
			}
		}
		if err := durable.WriteFile(h.path(uint64(tt.at)), tt.s.Encode(), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err = openHistory(dir, &c.spec, c.run, false); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

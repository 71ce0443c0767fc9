package protocol

import (
	"errors"
	"testing"
)

// contradiction has the same aggregator sign two statements.
func (w *world) contradiction(a, b Statement) Contradiction {
	k := w.aggregators[0]
	return Contradiction{Signer: k.ID(), First: a, FirstSig: k.SignDigest(a.Digest()), Second: b, SecondSig: k.SignDigest(b.Digest())}
}

// Two statements for one step are evidence against whoever signed both, and nothing else is (docs/protocol.md).
func TestContradiction(t *testing.T) {
	w := newWorld(t)
	open, freeze := w.chain[1], w.chain[2]
	other := NewStatement(w.run, 0, open.Prev, Open{Model: Hash("another"), Roster: []PeerID{}})
	elsewhere := NewStatement(w.run, 0, Hash("another chain"), Open{})
	council := w.newCouncil(&w.chain[4], 1, w.council.Members[1:], 2)
	next := w.newCouncil(&council, 1, w.council.Members[2:], 2)
	end := NewStatement(w.run, 1, w.chain[4].Digest(), End{})
	genesis := NewStatement(w.run, 0, Digest{}, Genesis{})
	foreign := other
	foreign.Run = Hash("other")
	for name, tt := range map[string]struct {
		a, b Statement
		want error
	}{
		"two Opens after one Genesis":     {open, other, nil},
		"two Opens of a round":            {open, elsewhere, nil},
		"a Council and an End":            {council, end, nil},
		"the same twice":                  {open, open, ErrNoContradiction},
		"an Open and the Freeze after it": {open, freeze, ErrNoContradiction},
		"two Councils in a row":           {council, next, ErrNoContradiction},
		"two proposals of a Genesis":      {w.chain[0], genesis, ErrNoContradiction},
		"of another run":                  {open, foreign, ErrNoContradiction},
		"both of another run":             {foreign, foreign, ErrNoContradiction},
	} {
		c := w.contradiction(tt.a, tt.b)
		if err := c.Verify(w.run); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for i, spoil := range []func(c *Contradiction){
		func(c *Contradiction) { c.FirstSig, c.SecondSig = c.SecondSig, c.FirstSig },
		func(c *Contradiction) { c.SecondSig = w.aggregators[1].SignDigest(c.Second.Digest()) },
		func(c *Contradiction) { c.Signer = w.aggregators[1].ID() },
	} {
		c := w.contradiction(open, other)
		spoil(&c)
		if err := c.Verify(w.run); !errors.Is(err, ErrBadSignature) {
			t.Errorf("spoiled %d: %v", i, err)
		}
	}
}

// Two different results of one aggregator for one shard of a round convict it, and nothing else does.
func TestDoubled(t *testing.T) {
	w := newWorld(t)
	k, other := w.aggregators[0], w.aggregators[1]
	c := ShardCertificate{Run: w.run, RevealSet: Hash("set"), Shard: 3, Model: Hash("model"), Aggregator: k.ID()}
	for name, tt := range map[string]struct {
		change func(*ShardCertificate)
		key    Key
		want   error
	}{
		"another model":      {func(c *ShardCertificate) { c.Model = Hash("another") }, k, nil},
		"the same":           {func(*ShardCertificate) {}, k, ErrNoContradiction},
		"another shard":      {func(c *ShardCertificate) { c.Shard = 4 }, k, ErrNoContradiction},
		"another round":      {func(c *ShardCertificate) { c.RevealSet = Hash("another") }, k, ErrNoContradiction},
		"another run":        {func(c *ShardCertificate) { c.Run = Hash("another") }, k, ErrNoContradiction},
		"another aggregator": {func(c *ShardCertificate) { c.Model, c.Aggregator = Hash("another"), other.ID() }, other, ErrNoContradiction},
		"signed by another":  {func(c *ShardCertificate) { c.Model = Hash("another") }, other, ErrBadSignature},
	} {
		second := c
		tt.change(&second)
		d := Doubled[ShardCertificate]{First: Sign(k, c), Second: Sign(tt.key, second)}
		if err := d.Verify(w.run); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
		d.First, d.Second = d.Second, d.First
		if err := d.Verify(w.run); !errors.Is(err, tt.want) {
			t.Errorf("%s, the other way round: %v, want %v", name, err, tt.want)
		}
	}
}

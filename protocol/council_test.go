package protocol

import (
	"errors"
	"slices"
	"testing"
)

func TestOpenGenesis(t *testing.T) {
	w := newWorld(t)
	g, c, err := OpenGenesis(w.spec, w.run, &w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	if c.Threshold != 3 || len(c.Members) != 4 || c.Run != w.run || g.Params != testParams {
		t.Errorf("council %+v of genesis %+v", c, g)
	}
	for _, k := range w.aggregators {
		if m, ok := c.Member(k.ID()); !ok || m.ID != k.ID() {
			t.Errorf("member %s not found", k.ID().Short())
		}
	}
	if _, ok := c.Member(w.founder.ID()); ok {
		t.Error("the founder is no aggregator")
	}
}

func TestOpenGenesisRefuses(t *testing.T) {
	w := newWorld(t)
	body := func(change func(g *Genesis)) SignedStatement {
		g := w.genesisBody()
		change(&g)
		return w.signGenesis(g)
	}
	sigs := func(change func(s []Cosignature) []Cosignature) SignedStatement {
		s := w.signGenesis(w.genesisBody())
		s.Sigs = change(s.Sigs)
		return s
	}
	statement := func(change func(s *Statement)) SignedStatement {
		s := w.genesis.Statement
		change(&s)
		return cosign(s, append(slices.Clone(w.aggregators), w.founder)...)
	}
	stranger := DeriveKey(1, "stranger")
	for name, tt := range map[string]struct {
		s    SignedStatement
		want error
	}{
		"other run":             {statement(func(s *Statement) { s.Run = Hash("other") }), ErrChain},
		"later round":           {statement(func(s *Statement) { s.Round = 1 }), ErrChain},
		"statement before":      {statement(func(s *Statement) { s.Prev = Hash("x") }), ErrChain},
		"another kind":          {statement(func(s *Statement) { s.Kind = KindOpen }), ErrChain},
		"body of another kind":  {statement(func(s *Statement) { s.Body = w.chain[1].Body }), ErrNotCanonical},
		"other founder":         {body(func(g *Genesis) { g.Founder = stranger.ID() }), ErrChain},
		"aggregator missing":    {body(func(g *Genesis) { g.Aggregators = g.Aggregators[:3] }), ErrChain},
		"lower threshold":       {body(func(g *Genesis) { g.Threshold = 2 }), ErrChain},
		"threshold wraps":       {body(func(g *Genesis) { g.Threshold = 1<<32 - 1 }), ErrChain},
		"aggregators unordered": {body(func(g *Genesis) { slices.Reverse(g.Aggregators) }), ErrChain},
		"aggregator twice":      {body(func(g *Genesis) { g.Aggregators[1] = g.Aggregators[0] }), ErrChain},
		"too many addresses":    {body(func(g *Genesis) { g.Aggregators[0].Addrs = make([]string, 33) }), ErrTooLarge},
		"aggregator unsigned":   {body(func(g *Genesis) { g.Aggregators[0].ID = PeerID{2} }), ErrNoQuorum},
		"too few signatures":    {sigs(func(s []Cosignature) []Cosignature { return s[:4] }), ErrNoQuorum},
		"no signatures":         {sigs(func(s []Cosignature) []Cosignature { return nil }), ErrNoQuorum},
		"stranger's signature": {sigs(func(s []Cosignature) []Cosignature {
			all := cosign(w.genesis.Statement, append(slices.Clone(w.aggregators), w.founder, stranger)...)
			return all.Sigs
		}), ErrNoQuorum},
		"signature of another": {sigs(func(s []Cosignature) []Cosignature { s[0].Sig = s[1].Sig; return s }), ErrBadSignature},
	} {
		if g, c, err := OpenGenesis(w.spec, w.run, &tt.s); !errors.Is(err, tt.want) || g != nil || c != nil {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// A founder who is an aggregator too signs once.
func TestOpenGenesisFounderAggregates(t *testing.T) {
	w := newWorld(t)
	w.founder = w.aggregators[2]
	w.spec.Founder = w.founder.ID()
	w.run = mustID(t, w.spec)
	s := cosign(NewStatement(w.run, 0, Digest{}, w.genesisBody()), w.aggregators...)
	if _, _, err := OpenGenesis(w.spec, w.run, &s); err != nil {
		t.Error(err)
	}
}

func TestCouncilVerify(t *testing.T) {
	w := newWorld(t)
	open := w.chain[1]
	agg := w.aggregators
	for n := w.council.Threshold; n <= len(agg); n++ {
		s := cosign(open, agg[:n]...)
		if err := w.council.Verify(&s); err != nil {
			t.Errorf("%d signatures: %v", n, err)
		}
	}
	sigs := func(change func(s []Cosignature) []Cosignature) SignedStatement {
		s := cosign(open, agg...)
		s.Sigs = change(s.Sigs)
		return s
	}
	other := open
	other.Run = Hash("other")
	later := open
	later.Round++
	for name, tt := range map[string]struct {
		s    SignedStatement
		want error
	}{
		"too few":            {cosign(open, agg[:2]...), ErrNoQuorum},
		"none":               {SignedStatement{Statement: open}, ErrNoQuorum},
		"unknown signer":     {cosign(open, agg[0], agg[1], w.founder), ErrNoQuorum},
		"one unknown beside": {cosign(open, append(slices.Clone(agg), w.founder)...), ErrNoQuorum},
		"duplicate signer":   {sigs(func(s []Cosignature) []Cosignature { return []Cosignature{s[0], s[1], s[1]} }), ErrNoQuorum},
		"unordered":          {sigs(func(s []Cosignature) []Cosignature { s[0], s[1] = s[1], s[0]; return s }), ErrNoQuorum},
		"too many":           {sigs(func(s []Cosignature) []Cosignature { return slices.Repeat(s, MaxSigners) }), ErrNoQuorum},
		"wrong run":          {cosign(other, agg...), ErrChain},
		"high S":             {sigs(func(s []Cosignature) []Cosignature { s[2].Sig = highS(s[2].Sig); return s }), ErrBadSignature},
		"bad among four":     {sigs(func(s []Cosignature) []Cosignature { s[3].Sig[0] ^= 1; return s }), ErrBadSignature},
		"of another round":   {SignedStatement{Statement: later, Sigs: cosign(open, agg...).Sigs}, ErrBadSignature},
	} {
		if err := w.council.Verify(&tt.s); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// Of all pairs of a chain only neighbours follow, and only with everything in place.
func TestFollows(t *testing.T) {
	w := newWorld(t)
	for i := range w.chain {
		for j := range w.chain {
			err := w.chain[i].Follows(&w.chain[j])
			if i == j+1 && err != nil {
				t.Errorf("%s of round %d: %v", w.chain[i].Kind, w.chain[i].Round, err)
			}
			if i != j+1 && !errors.Is(err, ErrChain) {
				t.Errorf("statement %d after statement %d: %v", i, j, err)
			}
		}
	}
	for name, change := range map[string]func(s *Statement){
		"run":   func(s *Statement) { s.Run = Hash("other") },
		"kind":  func(s *Statement) { s.Kind++ },
		"round": func(s *Statement) { s.Round++ },
		"prev":  func(s *Statement) { s.Prev[0] ^= 1 },
	} {
		for i := 1; i < len(w.chain); i++ {
			s := w.chain[i]
			change(&s)
			if err := s.Follows(&w.chain[i-1]); !errors.Is(err, ErrChain) {
				t.Errorf("%s of statement %d changed: %v", name, i, err)
			}
		}
	}
}

func TestDecodeBodyKinds(t *testing.T) {
	w := newWorld(t)
	if _, err := DecodeBody[Open](&w.chain[0]); !errors.Is(err, ErrChain) {
		t.Errorf("a Genesis as an Open: %v", err)
	}
	s := w.chain[1]
	s.Body = append(slices.Clone(s.Body), 0)
	if _, err := DecodeBody[Open](&s); !errors.Is(err, ErrNotCanonical) {
		t.Errorf("a byte behind the body: %v", err)
	}
	for k, want := range map[Kind]string{0: "unknown", KindGenesis: "Genesis", KindCertificate: "Certificate", 255: "unknown"} {
		if k.String() != want {
			t.Errorf("kind %d is called %s, want %s", k, k, want)
		}
	}
}

package protocol

import "testing"

// sample is one instance of a message type: its canonical encoding and how to decode and encode the type again.
type sample struct {
	name   string
	data   []byte
	digest Digest // zero for types that have none of their own
	again  func(data []byte) ([]byte, error)
}

// signed makes the sample of a signed message.
func signed[B body](name string, k Key, b B) sample {
	s := Sign(k, b)
	return sample{name, s.Encode(), s.Digest(), func(data []byte) ([]byte, error) {
		m, err := DecodeSigned[B](data)
		if err != nil {
			return nil, err
		}
		_ = m.Verify() // must not panic, whatever the signature and the key are
		return m.Encode(), nil
	}}
}

// plain makes the sample of a message without a signature of its own.
func plain[T any](name string, v T) sample {
	return sample{name: name, data: mustEncode(v), again: func(data []byte) ([]byte, error) {
		var m T
		if err := Decode(data, MaxMessage, &m); err != nil {
			return nil, err
		}
		return Encode(m)
	}}
}

func named(name string, s sample) sample {
	s.name = name
	return s
}

func bodyOf[T StatementBody](s Statement) sample {
	kind := s.Kind
	return sample{name: "body " + kind.String(), data: s.Body, digest: s.Digest(), again: func(data []byte) ([]byte, error) {
		b, err := DecodeBody[T](&Statement{Kind: kind, Body: data})
		if err != nil {
			return nil, err
		}
		return Encode(b)
	}}
}

// samples returns one instance of every message and every statement body.
func samples(t testing.TB) []sample {
	w := newWorld(t)
	a, p := w.aggregators[0], w.peers[0]
	spec, err := Encode(w.spec)
	if err != nil {
		t.Fatal(err)
	}
	manifest := NewManifest(pattern("data", ChunkSize+LeafSize+1))
	c := w.commit.Body
	return []sample{
		{"RunSpec", spec, w.run, func(data []byte) ([]byte, error) {
			s, err := DecodeSpec(data, Hash(DomainRun, data))
			if err != nil {
				return nil, err
			}
			return Encode(s)
		}},
		{"Manifest", manifest.Encode(), MerkleRoot(manifest.Encode()), func(data []byte) ([]byte, error) {
			m, err := DecodeManifest(data)
			if err != nil {
				return nil, err
			}
			return m.Encode(), nil
		}},
		signed("Join", p, Join{Run: w.run, Peer: p.ID(), Payout: Address{0xca, 0xfe}, Nonce: 1}),
		signed("Leave", p, Leave{Run: w.run, Peer: p.ID(), Nonce: 2}),
		signed("Commit", p, c),
		signed("Receipt", a, Receipt{Run: w.run, Commit: w.commit.Digest(), Aggregator: a.ID()}),
		signed("Attest", a, Attest{Run: w.run, Peer: p.ID(), Commit: w.commit.Digest(), Start: w.start, End: w.end, Aggregator: a.ID()}),
		signed("Draw", a, Draw{Run: w.run, Verifier: a.ID(), BLS: pattern48("draw")}),
		signed("Verdict", a, Verdict{Run: w.run, Peer: p.ID(), Drawer: a.ID(), Verifier: a.ID(), Segment: 1, Outcome: Passed,
			States: StatesDigest(a.ID(), w.states[1])}),
		{"SignedStatement", w.genesis.Encode(), w.genesis.Statement.Digest(), func(data []byte) ([]byte, error) {
			s, err := DecodeStatement(data)
			if err != nil {
				return nil, err
			}
			_ = w.council.Verify(s)
			return s.Encode(), nil
		}},
		bodyOf[Genesis](w.chain[0]), bodyOf[Open](w.chain[1]), bodyOf[Freeze](w.chain[2]),
		bodyOf[RevealSet](w.chain[3]), bodyOf[Certificate](w.chain[4]),
		{"Reveal", w.reveal(1).Encode(), Digest{}, func(data []byte) ([]byte, error) {
			r, err := DecodeReveal(data)
			if err != nil {
				return nil, err
			}
			_ = r.Check(w.spec, testParams, nil, &c, RootOf(w.frozen))
			return r.Encode(), nil
		}},
		plain("OpenRequest", OpenRequest{Run: w.run, Segment: 1, Chunks: []uint32{0, 2}}),
		{"Opening", w.opening().Encode(), Digest{}, func(data []byte) ([]byte, error) {
			o, err := DecodeOpening(data, MaxMessage)
			if err != nil {
				return nil, err
			}
			return o.Encode(), nil
		}},
		plain("Settlement", Settlement{Run: w.run, Epoch: 1, LogRoot: Hash("log"), PayoutRoot: Hash("payouts"), Total: Amount{31: 9}}),
		plain("Payout", Payout{Account: Address{0xca, 0xfe}, Cumulative: Amount{30: 1}}),
		signed("Join of 2 shards", p, Join{Run: w.run, Peer: p.ID(), Payout: Address{0xca, 0xfe}, Nonce: 1, Shards: 2}),
		named("body Open with capacities", bodyOf[Open](NewStatement(w.run, 1, w.chain[4].Digest(), Open{Model: Hash("theta1"), Outer: Hash("outer1"),
			Roster: []PeerID{w.peers[0].ID(), w.peers[1].ID()}, Capacity: []uint32{0, 2}}))),
		signed("Control pause", w.founder, Control{Run: w.run, Founder: w.founder.ID(), Action: ActionPause, Nonce: 1}),
		signed("Control replace", w.founder, Control{Run: w.run, Founder: w.founder.ID(), Action: ActionReplace, Nonce: 2,
			Add: []Signed[Accept]{w.accept(DeriveKey(1, "agg4"))}, Remove: []PeerID{a.ID()}}),
		bodyOf[NewCouncil](w.newCouncil(&w.chain[4], 1, w.council.Members[1:], 2)),
		bodyOf[End](NewStatement(w.run, 1, w.chain[4].Digest(), End{Control: Hash("control")})),
		plain("Contradiction", w.contradiction(w.chain[1], w.chain[2])),
		signed("Attest to 2 shards", a, Attest{Run: w.run, Peer: p.ID(), Commit: w.commit.Digest(), Start: w.start, End: w.end, Aggregator: a.ID(), Shards: []uint32{0, 2}}),
		signed("Partial", a, Partial{Run: w.run, RevealSet: w.chain[3].Digest(), Shard: 1, Sums: MerkleRoot(make([]byte, 16)), Aggregator: a.ID()}),
		signed("ShardCertificate", a, ShardCertificate{Run: w.run, RevealSet: w.chain[3].Digest(), Shard: 1, Merge: MergeDigest([]Merged{{Peer: p.ID(), Weight: 0x3f800000}}),
			Model: Hash("model"), Outer: Hash("outer"), Finite: true, Aggregator: a.ID()}),
		plain("Rotation", Rotation{Run: w.run, Sequence: 1, Signers: []Address{{1}, {2}}, Threshold: 2}),
		named("body Certificate with updates", bodyOf[Certificate](NewStatement(w.run, 0, w.chain[3].Digest(), Certificate{Model: Hash("theta1"), Outer: Hash("outer1"),
			Merge: []Merged{{Peer: w.peers[0].ID(), Weight: 0x3f800000}}, Updates: []ShardUpdate{UpdateOf([]byte("payload")), {}}}))),
		signed("ShardCertificate with an update", a, ShardCertificate{Run: w.run, RevealSet: w.chain[3].Digest(), Shard: 1,
			Merge: MergeDigest([]Merged{{Peer: p.ID(), Weight: 0x3f800000}}), Model: Hash("model"), Outer: Hash("outer"), Finite: true, Aggregator: a.ID(),
			Update: UpdateOf([]byte("payload"))}),
		named("body Open with delay", bodyOf[Open](NewStatement(w.run, 1, w.chain[4].Digest(), Open{Model: Hash("theta1"), Outer: Hash("outer1"),
			Roster: []PeerID{w.peers[0].ID(), w.peers[1].ID()}, Start: Hash("theta0"), Ahead: []Ahead{{Peer: w.peers[0].ID()}, {Peer: w.peers[1].ID(), Shards: 2}}}))),
	}
}

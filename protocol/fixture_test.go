package protocol

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// testSpec returns a valid RunSpec in which every field that may be non-zero is.
func testSpec() *RunSpec {
	return &RunSpec{
		Name: "vectors", Seed: 7, Engine: "exact-f32/2", Founder: DeriveKey(1, "founder").ID(),
		Model: ModelSpec{Family: "llama", Dim: 96, Layers: 2, Heads: 4, KVHeads: 2, FFN: 256, Vocab: 256, Context: 64,
			NormEps: 1e-5, RopeTheta: 10000, Tied: true},
		Data: DataSpec{Manifest: MerkleRoot([]byte("manifest")), Tokenizer: "bytes", Tokens: 567198, Holdout: 32768},
		Train: TrainSpec{Rounds: 12, Steps: 15, Segment: 5, Batch: 16, LR: 3e-3, MinLR: 3e-4, Warmup: 10, Beta1: 0.9,
			Beta2: 0.95, Eps: 1e-8, WeightDecay: 0.1, Clip: 1},
		Outer:     OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9},
		Codec:     CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 4096},
		Aggregate: AggregateSpec{Rule: "norm-clip", NormCap: 3, MinPeers: 2},
		Verify:    VerifySpec{Kind: "segment", Checks: 1, Chunks: 2, Window: 2},
		Payout:    PayoutSpec{Symbol: "STONE", Budget: 1_000_000, EpochCap: 10_000, EpochRounds: 4, PerMillion: 100},
		Quorum:    QuorumSpec{Aggregators: 4, Threshold: 3},
		Deadlines: DeadlineSpec{Train: 60, Reveal: 20, Check: 30},
	}
}

func mustID(t testing.TB, s *RunSpec) Digest {
	t.Helper()
	id, err := s.ID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sortedKeys returns the keys of the labels, ascending by peer ID.
func sortedKeys(labels ...string) []Key {
	keys := make([]Key, len(labels))
	for i, l := range labels {
		keys[i] = DeriveKey(1, l)
	}
	slices.SortFunc(keys, func(a, b Key) int { x, y := a.ID(), b.ID(); return bytes.Compare(x[:], y[:]) })
	return keys
}

// pattern returns n bytes that depend on the seed.
func pattern(seed string, n int) []byte {
	var out []byte
	for i := uint32(0); len(out) < n; i++ {
		d := Hash("test-pattern", []byte(seed), binary.BigEndian.AppendUint32(nil, i))
		out = append(out, d[:]...)
	}
	return out[:n]
}

func pattern48(seed string) [48]byte { return [48]byte(pattern(seed, 48)) }
func pattern96(seed string) [96]byte { return [96]byte(pattern(seed, 96)) }

// testParams gives the model of the fixtures three shards, the last of them short.
const testParams = 2*4096 + 1000

// world is one run up to the end of its round 0, with one honest contributor.
type world struct {
	spec        *RunSpec
	run         Digest
	founder     Key
	aggregators []Key // ascending
	peers       []Key // ascending
	genesis     SignedStatement
	council     *Council

	commit   Signed[Commit]
	payloads [][]byte
	salts    [][16]byte
	start    TraceStart
	states   []TraceState
	end      TraceEnd
	trace    []Digest // leaf hashes
	shards   []Digest // payload leaves
	frozen   []Digest // leaves under the Freeze's root
	chain    []Statement
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{spec: testSpec(), founder: DeriveKey(1, "founder"),
		aggregators: sortedKeys("agg0", "agg1", "agg2", "agg3"), peers: sortedKeys("peer0", "peer1")}
	w.run = mustID(t, w.spec)
	w.genesis = w.signGenesis(w.genesisBody())
	_, council, err := OpenGenesis(w.spec, w.run, &w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	w.council = council
	open := Open{Model: Hash("theta0"), Outer: Hash("outer0"), Roster: []PeerID{w.peers[0].ID(), w.peers[1].ID()}}
	w.chain = []Statement{w.genesis.Statement, NewStatement(w.run, 0, w.genesis.Statement.Digest(), open)}
	w.contribute()
	w.finish()
	return w
}

func (w *world) genesisBody() Genesis {
	g := Genesis{Founder: w.founder.ID(), Threshold: 3, Model: Hash("theta0"), Outer: Hash("outer0"), Params: testParams,
		Ledger: Ledger{ChainID: 1337, Token: Address{1}, Escrow: Address{2}, Distributor: Address{3}, Sponsor: Address{4},
			TokenTx: Hash("token tx"), DistributorTx: Hash("distributor tx"), Block: 9, Host: w.aggregators[0].ID()}}
	for _, k := range w.aggregators {
		id := k.ID().String()
		g.Aggregators = append(g.Aggregators, Aggregator{ID: k.ID(), BLS: pattern96(id), Proof: pattern48(id),
			Addrs: []string{"/ip4/127.0.0.1/tcp/4001/p2p/" + id}})
	}
	return g
}

// signGenesis has the founder and every aggregator sign g.
func (w *world) signGenesis(g Genesis) SignedStatement {
	return cosign(NewStatement(w.run, 0, Digest{}, g), append(slices.Clone(w.aggregators), w.founder)...)
}

// cosign signs s with the keys, in ascending order of their IDs.
func cosign(s Statement, keys ...Key) SignedStatement {
	out := SignedStatement{Statement: s}
	for _, k := range keys {
		out.Sigs = append(out.Sigs, Cosignature{Signer: k.ID(), Sig: k.SignDigest(s.Digest())})
	}
	slices.SortFunc(out.Sigs, func(a, b Cosignature) int { return bytes.Compare(a.Signer[:], b.Signer[:]) })
	return out
}

// contribute makes peer 0's trace and commit.
func (w *world) contribute() {
	k := w.peers[0]
	w.start = TraceStart{Model: Hash("theta0")}
	w.trace = []Digest{w.start.Leaf()}
	for i := range w.spec.Segments(w.spec.Train.Steps) {
		n := string(rune('0' + i))
		st := TraceState{Step: (i + 1) * w.spec.Train.Segment, Theta: Hash("theta" + n), M: Hash("m" + n), V: Hash("v" + n)}
		w.states = append(w.states, st)
		w.trace = append(w.trace, st.Leaf())
	}
	for i := range w.spec.Codec.Shards(testParams) {
		n := string(rune('0' + i))
		w.payloads = append(w.payloads, pattern("payload"+n, 100+i))
		w.salts = append(w.salts, [16]byte(pattern("salt"+n, 16)))
		w.shards = append(w.shards, PayloadLeaf(k.ID(), uint32(i), w.payloads[i], w.salts[i]))
	}
	w.end = TraceEnd{Payload: RootOf(w.shards), Feedback: Hash("feedback")}
	w.trace = append(w.trace, w.end.Leaf())
	w.commit = Sign(k, Commit{Run: w.run, Round: 0, Peer: k.ID(), Open: w.chain[1].Digest(), Trace: RootOf(w.trace), Steps: w.spec.Train.Steps})
}

// finish appends the statements of round 0 and the opening of round 1.
func (w *world) finish() {
	next := func(round uint32, make func(round uint32, prev Digest) Statement) {
		w.chain = append(w.chain, make(round, w.chain[len(w.chain)-1].Digest()))
	}
	a, b := w.peers[0].ID(), w.peers[1].ID()
	other := Hash("other commit")
	w.frozen = []Digest{FrozenLeaf(w.commit.Digest()), FrozenLeaf(other)}
	next(0, func(r uint32, prev Digest) Statement {
		return NewStatement(w.run, r, prev, Freeze{Root: RootOf(w.frozen), Commits: []Frozen{{Peer: a, Commit: w.commit.Digest()}, {Peer: b, Commit: other}}})
	})
	next(0, func(r uint32, prev Digest) Statement {
		return NewStatement(w.run, r, prev, RevealSet{Set: []Revealed{{Peer: a, Commit: w.commit.Digest(), Steps: w.commit.Body.Steps,
			Payload: w.end.Payload, Feedback: w.end.Feedback}}})
	})
	next(0, func(r uint32, prev Digest) Statement {
		return NewStatement(w.run, r, prev, Certificate{Model: Hash("theta1"), Outer: Hash("outer1"),
			Merge: []Merged{{Peer: a, Weight: 0x3f800000, Norm: 0x3ff8000000000000}}})
	})
	next(1, func(r uint32, prev Digest) Statement {
		return NewStatement(w.run, r, prev, Open{Model: Hash("theta1"), Outer: Hash("outer1"), Roster: []PeerID{a, b}})
	})
}

// reveal returns a valid reveal of one shard.
func (w *world) reveal(shard int) *Reveal {
	return &Reveal{Run: w.run, Round: 0, Peer: w.peers[0].ID(), Shard: uint32(shard), Payload: w.payloads[shard], Salt: w.salts[shard],
		ShardPath: PathTo(w.shards, shard), Start: w.start, StartPath: PathTo(w.trace, 0),
		End: w.end, EndPath: PathTo(w.trace, len(w.trace)-1), Frozen: PathTo(w.frozen, 0)}
}

// opening returns an opening of segment 1 with one codec chunk.
func (w *world) opening() *Opening {
	theta, before, after := pattern("theta", 64), pattern("before", 64), pattern("after", 64)
	leaf := func(b []byte) Path { return PathTo(DataLeaves(b), 0) }
	return &Opening{From: w.states[0], FromPath: PathTo(w.trace, 1), To: w.states[1], ToPath: PathTo(w.trace, 2),
		Final: w.states[2], FinalPath: PathTo(w.trace, 3), Theta: pattern("t", 16), M: pattern("m", 16), V: pattern("v", 16),
		Chunks: []ChunkOpening{{Index: 0, Theta: theta, ThetaPath: leaf(theta), Before: before, BeforePath: leaf(before), After: after, AfterPath: leaf(after)}}}
}

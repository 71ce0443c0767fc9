package verify

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"

	"drystone/internal/delta"
	"drystone/protocol"
)

// world is a small run with derived keys: three aggregators, two of whom make a quorum, and two peers. Its training is a
// toy, its codec, statements, log and signatures are the real ones. It plays every role of the round honestly, except
// where a test makes a peer cheat.
type world struct {
	t      testing.TB
	spec   *protocol.RunSpec
	run    protocol.Digest
	params int
	// capacity is what each peer can train, empty for all of them all.
	capacity []uint32
	aggs     []protocol.Key // ascending
	bls      []BLSKey
	council  *protocol.Council
	founder  protocol.Key
	peers    []protocol.Key // ascending
	codec    delta.Codec

	theta    []float32
	feedback [][]float32 // of each peer
	carried  []protocol.Digest
	chain    []protocol.SignedStatement
	joins    []protocol.Signed[protocol.Join]
	log      *Log
	leaves   uint64
	blobs    blobs
}

// blobs is a BlobSource in memory.
type blobs map[protocol.Digest][]byte

func (b blobs) put(data []byte) protocol.Digest {
	d := protocol.MerkleRoot(data)
	b[d] = data
	return d
}

func (b blobs) Blob(_ context.Context, d protocol.Digest, limit int64) ([]byte, error) {
	data, ok := b[d]
	if !ok || int64(len(data)) > limit {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), ErrMissing)
	}
	return data, nil
}

func testSpec(founder protocol.PeerID, kind, up string, chunks uint32) *protocol.RunSpec {
	s := &protocol.RunSpec{
		Name: "tiny", Seed: 7, Engine: "exact-f32/2", Founder: founder,
		Model: protocol.ModelSpec{Family: "llama", Dim: 4, Layers: 1, Heads: 2, KVHeads: 1, FFN: 4, Vocab: 256, Context: 8, NormEps: 1e-5, RopeTheta: 10000, Tied: true},
		Data:  protocol.DataSpec{Manifest: protocol.MerkleRoot([]byte("data")), Tokenizer: "bytes", Tokens: 1000, Holdout: 100},
		Train: protocol.TrainSpec{Rounds: 4, Steps: 6, Segment: 2, Batch: 2, LR: 1e-3, Beta1: 0.9, Beta2: 0.99, Eps: 1e-8},
		Outer: protocol.OuterSpec{Optimiser: "sgd", LR: 1},
		Codec: protocol.CodecSpec{Up: up, ShardParams: 4096}, Aggregate: protocol.AggregateSpec{Rule: "mean", MinPeers: 1},
		Verify:    protocol.VerifySpec{Kind: kind, Checks: 1, Chunks: chunks, Window: 2},
		Payout:    protocol.PayoutSpec{Symbol: "STONE", Budget: 1000, EpochCap: 100, EpochRounds: 2, PerMillion: 5},
		Quorum:    protocol.QuorumSpec{Aggregators: 3, Threshold: 2},
		Deadlines: protocol.DeadlineSpec{Train: 60, Reveal: 60, Check: 60},
	}
	if up != "dense" {
		s.Codec.Decay = 0.95
	}
	if up == "sparse" || up == "rice" {
		s.Codec.TopK, s.Codec.ValueBits = 16, 2
	}
	return s
}

func keys(label string, n int) []protocol.Key {
	ks := make([]protocol.Key, n)
	for i := range ks {
		ks[i] = protocol.DeriveKey(42, fmt.Sprintf("%s-%d", label, i))
	}
	slices.SortFunc(ks, func(a, b protocol.Key) int { x, y := a.ID(), b.ID(); return bytes.Compare(x[:], y[:]) })
	return ks
}

func newWorld(t testing.TB, params int, kind, up string, chunks uint32) *world {
	t.Helper()
	return newWorldOf(t, params, kind, up, chunks, 0)
}

// newWorldOf is newWorld of a run that admits peers with minShards, if that is above 0.
func newWorldOf(t testing.TB, params int, kind, up string, chunks, minShards uint32) *world {
	t.Helper()
	w := &world{t: t, params: params, founder: protocol.DeriveKey(42, "founder"), aggs: keys("aggregator", 3), peers: keys("peer", 2), blobs: blobs{}}
	w.spec = testSpec(w.founder.ID(), kind, up, chunks)
	w.spec.Train.MinShards = minShards
	w.must(w.spec.Validate())
	w.run = must(w.spec.ID())(t)
	w.codec = must(delta.New(w.spec.Codec))(t)
	w.log = must(OpenLog(t.TempDir()))(t)
	t.Cleanup(func() { w.must(w.log.Close()) })
	w.theta = make([]float32, params)
	for i := range w.theta {
		w.theta[i] = noise(w.run, 0, 0, 0, i)
	}
	g := protocol.Genesis{Founder: w.founder.ID(), Threshold: 2, Model: w.blobs.put(floatBytes(w.theta)), Outer: protocol.MerkleRoot(nil), Params: uint64(params)}
	for _, k := range w.aggs {
		b := must(DeriveBLSKey(k))(t)
		w.bls = append(w.bls, b)
		g.Aggregators = append(g.Aggregators, protocol.Aggregator{ID: k.ID(), BLS: b.Public(), Proof: must(b.Prove())(t), Addrs: []string{}})
	}
	w.council = &protocol.Council{Run: w.run, Threshold: 2, Members: g.Aggregators}
	w.append(LeafStatement, w.sign(protocol.NewStatement(w.run, 0, protocol.Digest{}, g), append([]protocol.Key{w.founder}, w.aggs...)))
	for i, k := range w.peers {
		j := protocol.Sign(k, protocol.Join{Run: w.run, Peer: k.ID(), Payout: protocol.Address{0xca, byte(i)}, Nonce: 1})
		w.joins = append(w.joins, j)
		w.append(LeafJoin, j)
		w.feedback = append(w.feedback, make([]float32, params))
	}
	w.carried = make([]protocol.Digest, len(w.peers))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func (w *world) append(t LeafType, v any) {
	w.t.Helper()
	w.must(w.log.Append(w.leaves, must(EncodeLeaf(t, v))(w.t)))
	w.leaves++
}

func (w *world) sign(s protocol.Statement, by []protocol.Key) protocol.SignedStatement {
	out := protocol.SignedStatement{Statement: s}
	for _, k := range by {
		out.Sigs = append(out.Sigs, protocol.Cosignature{Signer: k.ID(), Sig: k.SignDigest(s.Digest())})
	}
	slices.SortFunc(out.Sigs, func(a, b protocol.Cosignature) int { return bytes.Compare(a.Signer[:], b.Signer[:]) })
	w.chain = append(w.chain, out)
	return out
}

func (w *world) head() protocol.Digest { return w.chain[len(w.chain)-1].Statement.Digest() }

// noise is a value in [-1, 1) that everything random in the toy training comes from.
func noise(run protocol.Digest, round, index, step uint32, i int) float32 {
	x := binary.BigEndian.Uint64(run[:8]) ^ uint64(round)<<40 ^ uint64(index)<<32 ^ uint64(step)<<20 ^ uint64(i)*0x9e3779b97f4a7c15
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 32
	return float32(int32(x)) / (1 << 31)
}

// toy is a deterministic trainer with moments: a Replayer.
type toy struct {
	run     protocol.Digest
	c       protocol.CodecSpec
	replays int
	err     error
}

func (y *toy) Replay(ctx context.Context, a protocol.Assignment, theta, m, v []float32, from, to uint32) (protocol.TraceState, error) {
	y.replays++
	if y.err != nil {
		return protocol.TraceState{}, y.err
	}
	st, err := trainToy(y.c, a, clone(theta, m, v), from, to)
	if err != nil {
		return protocol.TraceState{}, err
	}
	return st.leaf(to), ctx.Err()
}

type toyState [3][]float32

func clone(theta, m, v []float32) toyState {
	return toyState{slices.Clone(theta), slices.Clone(m), slices.Clone(v)}
}

func (s toyState) leaf(step uint32) protocol.TraceState {
	return protocol.TraceState{Step: step, Theta: protocol.MerkleRoot(floatBytes(s[0])), M: protocol.MerkleRoot(floatBytes(s[1])), V: protocol.MerkleRoot(floatBytes(s[2]))}
}

// trainToy trains the parameters of the assigned shards; s has the moments of these, or nil for zeros.
func trainToy(c protocol.CodecSpec, a protocol.Assignment, s toyState, from, to uint32) (toyState, error) {
	trained := []int{}
	for i := range s[0] {
		if len(a.Shards) == 0 || slices.Contains(a.Shards, uint32(i/c.ShardParams)) {
			trained = append(trained, i)
		}
	}
	if s[1] == nil {
		s[1], s[2] = make([]float32, len(trained)), make([]float32, len(trained))
	}
	for step := from + 1; step <= to; step++ {
		for j, i := range trained {
			g := float32(noise(a.Run, a.Round+1, a.Index+1, step, i) + float32(s[0][i]*0.25))
			s[1][j] = float32(s[1][j]*0.5) + float32(g*0.5)
			s[2][j] = float32(s[2][j]*0.75) + float32(float32(g*g)*0.25)
			s[0][i] -= float32(s[1][j] * 0.125)
			if math.IsInf(float64(s[0][i]), 0) || s[0][i] != s[0][i] {
				return s, fmt.Errorf("step %d: %w", step, ErrDiverged)
			}
		}
	}
	return s, nil
}

// mergeMean is the merge of the test runs: the mean of the updates, applied with learning rate 1.
func mergeMean(s *protocol.RunSpec, theta, outer []float32, contributions []Contribution) (*MergeResult, error) {
	var record []protocol.Merged
	codec, err := delta.New(s.Codec)
	if err != nil {
		return nil, err
	}
	sum := make([]float32, len(theta))
	count := make([]int, s.Codec.Shards(len(theta)))
	for _, c := range contributions {
		for i := range c.Payloads {
			count[protocol.ShardAt(c.Shards, i)]++
		}
	}
	for _, c := range contributions {
		var norm float64
		var weight float32
		for i, p := range c.Payloads {
			k := protocol.ShardAt(c.Shards, i)
			weight = 1 / float32(count[k])
			lo, hi := s.Codec.Shard(len(theta), k)
			if err := codec.Validate(p, hi-lo); err != nil {
				return nil, err
			}
			if err := codec.AddTo(sum[lo:hi], weight, p); err != nil {
				return nil, err
			}
			squares, err := codec.SumSquares(p, hi-lo)
			if err != nil {
				return nil, err
			}
			norm += squares
		}
		record = append(record, protocol.Merged{Peer: c.Peer, Weight: math.Float32bits(weight), Norm: math.Float64bits(math.Sqrt(norm))})
	}
	next := slices.Clone(theta)
	for i := range next {
		next[i] -= sum[i]
	}
	return &MergeResult{Theta: next, Record: record}, nil
}

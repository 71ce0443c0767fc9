package council

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/internal/delta"
	"drystone/protocol"
)

// params is the size of the simulated model: two shards, the second one short.
const params = 4096 + 64

// Setup is what a simulated run follows from.
type Setup struct {
	Seed     uint64 // of the network and of all chance; what is trained does not depend on it
	Trainers int    // 0 for 4
	Links    Links  // all 0: 5 to 300 ms
	// Spec changes the run spec, nil for 2 rounds of 3 of 4 aggregators.
	Spec func(*protocol.RunSpec)
	// Views gives each aggregator the logs that it sees, by place; nil for one log that all see. A member of two views is
	// a liar with a face on each.
	Views func(aggregator int) []int
}

// Sim is one run.
type Sim struct {
	Spec     protocol.RunSpec
	Run0     protocol.Digest // the RunID
	Aggs     []*Aggregator   // ascending by ID, view after view
	Trainers []*Trainer      // ascending by ID
	Events   int             // that have happened

	links   Links
	rng     *rand.Rand
	now     int64
	seq     uint64
	events  queue
	at      map[int][]func()
	orders  []*order
	codec   delta.Codec
	genesis *protocol.SignedStatement
	council *protocol.Council
	vectors map[protocol.Digest][]float32    // parameters and outer states by root
	work    map[protocol.Digest]contribution // by commit
}

// New makes a run at its beginning.
func New(setup Setup) *Sim {
	s := &Sim{
		Spec: smallSpec(), links: setup.Links, rng: rand.New(rand.NewPCG(setup.Seed, 0)), now: 1e12, at: map[int][]func(){},
		vectors: map[protocol.Digest][]float32{}, work: map[protocol.Digest]contribution{},
	}
	if s.links.Most == 0 {
		s.links.Least, s.links.Most = 5*time.Millisecond, 300*time.Millisecond
	}
	if setup.Spec != nil {
		setup.Spec(&s.Spec)
	}
	s.Run0 = must(s.Spec.ID())
	s.codec = must(delta.New(s.Spec.Codec))
	aggs := keys("aggregator", s.Spec.Quorum.Aggregators)
	s.found(aggs)
	s.convene(aggs, setup.Views)
	n := setup.Trainers
	if n == 0 {
		n = 4
	}
	for i, k := range keys("trainer", n) {
		t := &Trainer{sim: s, Key: k, index: i, receipts: map[protocol.Digest][]protocol.Signed[protocol.Receipt]{}}
		s.Trainers = append(s.Trainers, t)
		t.start()
	}
	return s
}

func smallSpec() protocol.RunSpec {
	return protocol.RunSpec{
		Name: "council", Seed: 1, Engine: "exact-f32/2", Founder: protocol.DeriveKey(1, "founder").ID(),
		Model:     protocol.ModelSpec{Family: "llama", Dim: 8, Layers: 1, Heads: 2, KVHeads: 1, FFN: 16, Vocab: 256, Context: 8, NormEps: 1e-5, RopeTheta: 1e4},
		Data:      protocol.DataSpec{Tokenizer: "bytes", Tokens: 1000, Holdout: 100},
		Train:     protocol.TrainSpec{Rounds: 2, Steps: 8, Segment: 2, Batch: 2, LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8},
		Outer:     protocol.OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9},
		Codec:     protocol.CodecSpec{Up: "sparse", TopK: 64, ValueBits: 2, Decay: 0.95, ShardParams: 4096},
		Aggregate: protocol.AggregateSpec{Rule: "norm-clip", NormCap: 3, MinPeers: 3, StartPeers: 4},
		Verify:    protocol.VerifySpec{Kind: "segment", Checks: 1, Chunks: 1, Window: 2},
		Payout:    protocol.PayoutSpec{Symbol: "DRY", Budget: 1000, EpochCap: 1000, EpochRounds: 2, PerMillion: 1},
		Quorum:    protocol.QuorumSpec{Aggregators: 4, Threshold: 3},
		Deadlines: protocol.DeadlineSpec{Train: 60, Reveal: 30, Check: 20},
	}
}

// found makes the Genesis.
func (s *Sim) found(aggs []protocol.Key) {
	founder := protocol.DeriveKey(1, "founder")
	theta := make([]float32, params)
	for i := range theta {
		theta[i] = float32(i%17) / 16
	}
	g := protocol.Genesis{Founder: founder.ID(), Threshold: uint32(s.Spec.Quorum.Threshold), Model: s.keep(theta),
		Outer: s.keep(make([]float32, s.Spec.OuterState(params))), Params: params}
	for _, k := range aggs {
		g.Aggregators = append(g.Aggregators, protocol.Aggregator{ID: k.ID(), BLS: blsKey(k.ID())})
	}
	s.genesis = &protocol.SignedStatement{Statement: protocol.NewStatement(s.Run0, 0, protocol.Digest{}, g)}
	signers := append([]protocol.Key{founder}, aggs...)
	slices.SortFunc(signers, byID)
	for _, k := range signers {
		s.genesis.Sigs = append(s.genesis.Sigs, cosign(k, &s.genesis.Statement))
	}
	var err error
	_, s.council, err = protocol.OpenGenesis(&s.Spec, s.Run0, s.genesis)
	if err != nil {
		panic(err)
	}
}

// convene makes the replicas and their logs.
func (s *Sim) convene(aggs []protocol.Key, views func(int) []int) {
	count := 1
	for i := range aggs {
		if views == nil {
			break
		}
		count = max(count, slices.Max(views(i))+1)
	}
	for v := range count {
		o := &order{sim: s}
		for i, k := range aggs {
			if views == nil || slices.Contains(views(i), v) {
				a := newAggregator(s, k, o)
				o.members, s.Aggs = append(o.members, a), append(s.Aggs, a)
			}
		}
		o.size, o.leader = len(o.members), o.members[0]
		o.append(aggregate.GenesisRecord(s.genesis))
		s.orders = append(s.orders, o)
		s.After(pollLog, o.watch)
	}
}

func (s *Sim) finished() bool {
	longest := 0
	for _, a := range s.Aggs {
		longest = max(longest, len(a.Chain))
		if a.Honest() && !a.Down && (a.machine.Phase() != aggregate.PhaseFinished || a.applied < len(a.order.log)) {
			return false
		}
	}
	for _, t := range s.Trainers {
		if len(t.Chain) < longest {
			return false
		}
	}
	return true
}

// keep stores a vector under its root.
func (s *Sim) keep(v []float32) protocol.Digest {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		u := math.Float32bits(x)
		b = append(b, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
	}
	d := protocol.MerkleRoot(b)
	s.vectors[d] = v
	return d
}

func keys(label string, n int) []protocol.Key {
	ks := make([]protocol.Key, n)
	for i := range ks {
		ks[i] = protocol.DeriveKey(1, fmt.Sprint(label, i))
	}
	slices.SortFunc(ks, byID)
	return ks
}

func byID(a, b protocol.Key) int {
	x, y := a.ID(), b.ID()
	return bytes.Compare(x[:], y[:])
}

func cosign(k protocol.Key, s *protocol.Statement) protocol.Cosignature {
	return protocol.Cosignature{Signer: k.ID(), Sig: k.SignDigest(s.Digest())}
}

// must is for what cannot fail in this package's own small runs.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

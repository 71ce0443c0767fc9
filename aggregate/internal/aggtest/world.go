// Package aggtest is a small world for tests of the aggregators: a spec, keys, and peers and aggregators that do what
// their duties ask, with real signatures. Training, BLS and the EVM are replaced by hashes, which the machine cannot tell
// apart: it never looks inside them.
package aggtest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sync"

	"drystone/aggregate"
	"drystone/protocol"
)

// World holds what everybody in a run knows, and the secrets of its members.
type World struct {
	Spec    protocol.RunSpec
	Run     protocol.Digest
	Params  int
	Founder protocol.Key
	Aggs    []protocol.Key  // ascending by ID
	Spares  []protocol.Key  // that may become aggregators
	Peers   []protocol.Key  // ascending by ID
	Host    protocol.PeerID // of the ledger, as the Genesis names it
	// Outcome is what a verifier finds; nil for Passed always.
	Outcome func(verifier protocol.PeerID, d aggregate.DutyCheck) protocol.Outcome
	// Ownership gives shards owners, where the quorum allows it.
	Ownership bool

	mu     sync.Mutex
	traces map[protocol.Digest]trace // by commit
}

type trace struct {
	start protocol.TraceStart
	end   protocol.TraceEnd
}

// New makes a world of 4 aggregators, 3 of which make a quorum, and 4 peers: 4 rounds in epochs of 2.
func New(change func(*protocol.RunSpec)) *World {
	w := &World{Params: 5000, Founder: protocol.DeriveKey(1, "founder"), traces: map[protocol.Digest]trace{}}
	w.Spec = protocol.RunSpec{
		Name: "test", Seed: 1, Engine: "exact-f32/2", Founder: w.Founder.ID(),
		Model:     protocol.ModelSpec{Family: "llama", Dim: 8, Layers: 1, Heads: 2, KVHeads: 1, FFN: 16, Vocab: 256, Context: 8, NormEps: 1e-5, RopeTheta: 1e4},
		Data:      protocol.DataSpec{Tokenizer: "bytes", Tokens: 1000, Holdout: 100},
		Train:     protocol.TrainSpec{Rounds: 4, Steps: 8, Segment: 2, Batch: 2, LR: 1e-3, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8},
		Outer:     protocol.OuterSpec{Optimiser: "nesterov", LR: 0.7, Momentum: 0.9},
		Codec:     protocol.CodecSpec{Up: "dense", ShardParams: 4096},
		Aggregate: protocol.AggregateSpec{Rule: "norm-clip", NormCap: 3, MinPeers: 3},
		Verify:    protocol.VerifySpec{Kind: "segment", Checks: 1, Chunks: 1, Window: 2},
		Payout:    protocol.PayoutSpec{Symbol: "DRY", Budget: 1000, EpochCap: 1000, EpochRounds: 2, PerMillion: 1},
		Quorum:    protocol.QuorumSpec{Aggregators: 4, Threshold: 3},
		Deadlines: protocol.DeadlineSpec{Train: 60, Reveal: 30, Check: 20},
	}
	if change != nil {
		change(&w.Spec)
	}
	var err error
	if w.Run, err = w.Spec.ID(); err != nil {
		panic(err)
	}
	w.Aggs = keys("aggregator", w.Spec.Quorum.Aggregators)
	w.Spares = keys("spare", 2)
	w.Peers = keys("peer", 4)
	return w
}

func keys(label string, n int) []protocol.Key {
	ks := make([]protocol.Key, n)
	for i := range ks {
		ks[i] = protocol.DeriveKey(1, fmt.Sprint(label, i))
	}
	slices.SortFunc(ks, func(a, b protocol.Key) int { return compare(a.ID(), b.ID()) })
	return ks
}

func compare(a, b protocol.PeerID) int { return slices.Compare(a[:], b[:]) }

// Name returns "agg0", "peer2" or the like.
func (w *World) Name(id protocol.PeerID) string {
	for i, k := range w.Everyone() {
		if k.ID() == id {
			return fmt.Sprint("agg", i)
		}
	}
	for i, k := range w.Peers {
		if k.ID() == id {
			return fmt.Sprint("peer", i)
		}
	}
	return id.Short()
}

// Everyone who is or may become an aggregator: agg0 and so on, the spares last.
func (w *World) Everyone() []protocol.Key { return slices.Concat(w.Aggs, w.Spares) }

// Members are the aggregators' IDs, ascending.
func (w *World) Members() []protocol.PeerID {
	ids := make([]protocol.PeerID, len(w.Aggs))
	for i, k := range w.Aggs {
		ids[i] = k.ID()
	}
	return ids
}

// Config is the machine's, with checks that fit this world's signatures.
func (w *World) Config() aggregate.Config {
	return aggregate.Config{Spec: &w.Spec, Run: w.Run, Params: w.Params, VerifyDraw: verifyDraw, VerifySettlement: verifySettlement,
		VerifyRotation: verifyRotation, VerifyPossession: verifyPossession, Ownership: w.Ownership}
}

func pub(id protocol.PeerID) (p [96]byte) {
	copy(p[:], id[:])
	return p
}

func blsSign(pub [96]byte, msg []byte) (sig [48]byte) {
	d := protocol.Hash("test-bls", pub[:], msg)
	copy(sig[:], d[:])
	return sig
}

func verifyDraw(pub [96]byte, msg []byte, sig [48]byte) error {
	if blsSign(pub, msg) != sig {
		return errors.New("BLS signature does not verify")
	}
	return nil
}

func settlementDigest(s protocol.Settlement) protocol.Digest {
	b, err := protocol.Encode(s)
	if err != nil {
		panic(err)
	}
	return protocol.Hash("test-eip712", b)
}

func payoutRoot(p []protocol.Payout) protocol.Digest {
	b, err := protocol.Encode(p)
	if err != nil {
		panic(err)
	}
	return protocol.Hash("test-payouts", b)
}

func verifySettlement(s protocol.Settlement, payouts []protocol.Payout, signer protocol.PeerID, sig protocol.EVMSignature) error {
	if s.PayoutRoot != payoutRoot(payouts) {
		return errors.New("payout root does not match")
	}
	return signer.VerifyDigest(settlementDigest(s), protocol.Signature(sig[:64]))
}

// Genesis is the first record.
func (w *World) Genesis() []byte { return aggregate.GenesisRecord(w.GenesisStatement()) }

// GenesisStatement is signed by the founder and every aggregator.
func (w *World) GenesisStatement() *protocol.SignedStatement {
	g := protocol.Genesis{Founder: w.Founder.ID(), Threshold: uint32(w.Spec.Quorum.Threshold), Model: protocol.Hash("theta0"), Outer: protocol.Hash("outer0"), Params: uint64(w.Params),
		Ledger: protocol.Ledger{Host: w.Host}}
	for _, k := range w.Aggs {
		g.Aggregators = append(g.Aggregators, protocol.Aggregator{ID: k.ID(), BLS: pub(k.ID())})
	}
	s := &protocol.SignedStatement{Statement: protocol.NewStatement(w.Run, 0, protocol.Digest{}, g)}
	signers := append([]protocol.Key{w.Founder}, w.Aggs...)
	slices.SortFunc(signers, func(a, b protocol.Key) int { return compare(a.ID(), b.ID()) })
	for _, k := range signers {
		s.Sigs = append(s.Sigs, w.Cosignature(k, &s.Statement))
	}
	return s
}

// Cosignature signs a statement.
func (w *World) Cosignature(k protocol.Key, s *protocol.Statement) protocol.Cosignature {
	return protocol.Cosignature{Signer: k.ID(), Sig: k.SignDigest(s.Digest())}
}

// Cosign is the record of k's signature under a statement.
func (w *World) Cosign(k protocol.Key, s protocol.Statement) []byte {
	return aggregate.CosignRecord(s, w.Cosignature(k, &s))
}

// Join is the record of a peer's Join; the payout address follows from peer and nonce.
func (w *World) Join(peer int, nonce uint64) []byte { return w.JoinPart(peer, nonce, 0) }

// JoinPart is Join of a peer that can train so many shards.
func (w *World) JoinPart(peer int, nonce uint64, shards uint32) []byte {
	k := w.Peers[peer]
	payout := protocol.Address{byte(peer + 1), byte(nonce)}
	return aggregate.JoinRecord(protocol.Sign(k, protocol.Join{Run: w.Run, Peer: k.ID(), Payout: payout, Nonce: nonce, Shards: shards}))
}

// Leave is the record of a peer's Leave.
func (w *World) Leave(peer int, nonce uint64) []byte {
	k := w.Peers[peer]
	return aggregate.LeaveRecord(protocol.Sign(k, protocol.Leave{Run: w.Run, Peer: k.ID(), Nonce: nonce}))
}

// Commit is the record of a peer's honest commit to the round that v shows in its train phase. label distinguishes
// different contributions.
func (w *World) Commit(v aggregate.View, peer int, label string) []byte {
	return w.CommitOn(v, peer, label, start(v), w.feedback(v, w.Peers[peer].ID()))
}

// start is the root of what the newest round trains from.
func start(v aggregate.View) protocol.Digest {
	if len(v.Rounds) == 0 {
		return v.Model
	}
	open, err := protocol.DecodeBody[protocol.Open](&v.Rounds[len(v.Rounds)-1].Statements[0].Statement)
	if err != nil {
		panic(err)
	}
	return open.From()
}

// CommitOn is Commit of a contribution that stands on the given state.
func (w *World) CommitOn(v aggregate.View, peer int, label string, model, feedback protocol.Digest) []byte {
	k := w.Peers[peer]
	id := k.ID()
	t := trace{start: protocol.TraceStart{Model: model, Feedback: feedback}}
	name := fmt.Appendf(nil, "%d/%s/%s", v.Round, id, label)
	t.end = protocol.TraceEnd{Payload: protocol.Hash("payload", name), Feedback: protocol.Hash("feedback", name)}
	c := protocol.Commit{Run: w.Run, Round: v.Round, Peer: id, Open: v.Head.Statement.Digest(), Steps: uint32(4 + peer),
		Trace: protocol.RootOf([]protocol.Digest{t.start.Leaf(), t.end.Leaf()})}
	s := protocol.Sign(k, c)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.traces[s.Digest()] = t
	return aggregate.CommitRecord(s)
}

// feedback is the peer's error feedback root in the RevealSet of the round before, else zero.
func (w *World) feedback(v aggregate.View, id protocol.PeerID) protocol.Digest {
	for _, r := range v.Rounds {
		if r.Round+1 != v.Round || len(r.Statements) < 3 {
			continue
		}
		set, err := protocol.DecodeBody[protocol.RevealSet](&r.Statements[2].Statement)
		if err != nil {
			panic(err)
		}
		for _, x := range set.Set {
			if x.Peer == id {
				return x.Feedback
			}
		}
	}
	return protocol.Digest{}
}

// Certify is the honest result of a merge.
func (w *World) Certify(d aggregate.DutyMerge) protocol.Statement {
	body := protocol.Certificate{Merge: []protocol.Merged{}}
	var parts []byte
	for _, x := range d.RevealSet.Set {
		parts = append(parts, x.Payload[:]...)
		weight := float32(1) / float32(len(d.RevealSet.Set))
		body.Merge = append(body.Merge, protocol.Merged{Peer: x.Peer, Weight: math.Float32bits(weight), Norm: math.Float64bits(1)})
	}
	body.Model = protocol.Hash("theta", d.Open.Model[:], parts)
	body.Outer = protocol.Hash("outer", d.Open.Outer[:], parts)
	body.Updates = w.Spec.Codec.NoUpdates(w.Params)
	for k := range body.Updates {
		body.Updates[k] = protocol.UpdateOf(append(body.Model[:], byte(k)))
	}
	return protocol.NewStatement(w.Run, d.Round, d.Prev, body)
}

// Settlement is the honest settlement of an epoch: one unit per token.
func (w *World) Settlement(k protocol.Key, d aggregate.DutySettle) aggregate.Settle {
	sums := map[protocol.Address]*big.Int{}
	for _, p := range d.Previous {
		sums[p.Account] = p.Cumulative.Big()
	}
	for _, x := range d.Work {
		if sums[x.Account] == nil {
			sums[x.Account] = new(big.Int)
		}
		sums[x.Account].Add(sums[x.Account], new(big.Int).SetUint64(x.Tokens))
	}
	s := aggregate.Settle{Signer: k.ID(), Payouts: []protocol.Payout{}}
	total := new(big.Int)
	for a, v := range sums {
		s.Payouts = append(s.Payouts, protocol.Payout{Account: a, Cumulative: protocol.AmountOf(v)})
		total.Add(total, v)
	}
	slices.SortFunc(s.Payouts, func(a, b protocol.Payout) int { return slices.Compare(a.Account[:], b.Account[:]) })
	s.Settlement = protocol.Settlement{Run: w.Run, Epoch: d.Epoch, LogRoot: d.LogRoot, PayoutRoot: payoutRoot(s.Payouts), Total: protocol.AmountOf(total)}
	return w.SignSettle(k, s)
}

// SignSettle signs a settlement.
func (w *World) SignSettle(k protocol.Key, s aggregate.Settle) aggregate.Settle {
	s.Signer = k.ID()
	sig := k.SignDigest(settlementDigest(s.Settlement))
	copy(s.Sig[:], sig[:])
	s.Sig[64] = 27
	return s
}

// VerifyDoubleSettlement checks the evidence that two settlements of one epoch are.
func (w *World) VerifyDoubleSettlement(d *protocol.DoubleSettlement) error {
	if d.First == d.Second || d.First.Epoch != d.Second.Epoch || d.First.Run != w.Run || d.Second.Run != w.Run {
		return errors.New("no two settlements of an epoch")
	}
	return errors.Join(d.Signer.VerifyDigest(settlementDigest(d.First), protocol.Signature(d.FirstSig[:64])),
		d.Signer.VerifyDigest(settlementDigest(d.Second), protocol.Signature(d.SecondSig[:64])))
}

// Discharge is the record with which the aggregator k does a duty.
func (w *World) Discharge(k protocol.Key, duty aggregate.Duty) []byte {
	switch d := duty.(type) {
	case aggregate.DutySign:
		return w.Cosign(k, d.Statement)
	case aggregate.DutyGather:
		return w.Attest(k, d)
	case aggregate.DutyMerge:
		return w.Cosign(k, w.Certify(d))
	case aggregate.DutySums:
		return w.Sums(k, d)
	case aggregate.DutyShard:
		return aggregate.ShardRecord(protocol.Sign(k, w.CertifyShard(k, d)))
	case aggregate.DutyDraw:
		return aggregate.DrawRecord(protocol.Sign(k, protocol.Draw{Run: w.Run, Round: d.Round, Verifier: k.ID(), BLS: blsSign(pub(k.ID()), d.Message)}))
	case aggregate.DutyCheck:
		outcome := protocol.Passed
		if w.Outcome != nil {
			outcome = w.Outcome(k.ID(), d)
		}
		return w.Verdict(k, d, outcome)
	case aggregate.DutySettle:
		return aggregate.SettleRecord(w.Settlement(k, d))
	case aggregate.DutyRotate:
		return w.Rotate(k, d.Rotation)
	case aggregate.DutyCheckpoint:
		return aggregate.CheckpointRecord(aggregate.Checkpoint{Size: d.Size, Signer: k.ID(), Note: Note(d.Size, d.Root)})
	}
	panic(fmt.Sprintf("unknown duty %T", duty))
}

// Attest is the record of an aggregator that gathered a commit.
func (w *World) Attest(k protocol.Key, d aggregate.DutyGather) []byte {
	c := d.Commit.Body
	w.mu.Lock()
	t := w.traces[d.Commit.Digest()]
	w.mu.Unlock()
	return aggregate.AttestRecord(protocol.Sign(k, protocol.Attest{Run: w.Run, Round: c.Round, Peer: c.Peer,
		Commit: d.Commit.Digest(), Start: t.start, End: t.end, Aggregator: k.ID(), Shards: w.partOf(d)}))
}

// Verdict is the record of a check with the given outcome.
func (w *World) Verdict(k protocol.Key, d aggregate.DutyCheck, o protocol.Outcome) []byte {
	return aggregate.VerdictRecord(protocol.Sign(k, protocol.Verdict{Run: w.Run, Round: d.Assignment.Round, Peer: d.Peer,
		Drawer: d.Drawer, Verifier: k.ID(), Segment: d.Segment, Outcome: o, States: protocol.StatesDigest(k.ID(), protocol.TraceState{Step: d.Segment})}))
}

// Note is a checkpoint's text with a line in place of the signature.
func Note(size uint64, root protocol.Digest) []byte {
	return fmt.Appendf(nil, "test\n%d\n%s\n\nsignature\n", size, base64.StdEncoding.EncodeToString(root[:]))
}

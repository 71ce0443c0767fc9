package council

import (
	"errors"
	"math/big"
	"slices"

	"drystone/aggregate"
	"drystone/protocol"
	"drystone/verify"
)

// discharge returns the record with which an honest aggregator does a duty; none if it has to wait, or refuses.
func (a *Aggregator) discharge(d aggregate.Duty) [][]byte {
	switch d := d.(type) {
	case aggregate.DutySign:
		st := d.Statement
		if a.machine.MaySign(&st, a.clock(), a.since, a.promises.Receipts(st.Round)) != nil || !a.assemble(&st, d.Shards) {
			return nil
		}
		return a.promised(st)
	case aggregate.DutyGather:
		return a.gather(d)
	case aggregate.DutyMerge:
		st, ok := a.merge(d)
		if !ok {
			return nil
		}
		return a.promised(st)
	case aggregate.DutySums:
		return a.sums(d)
	case aggregate.DutyShard:
		return a.mergeShard(d)
	case aggregate.DutyDraw:
		return [][]byte{aggregate.DrawRecord(protocol.Sign(a.Key, protocol.Draw{Run: a.sim.Run0, Round: d.Round, Verifier: a.ID(), BLS: blsSign(blsKey(a.ID()), d.Message)}))}
	case aggregate.DutyCheck:
		return a.check(d)
	case aggregate.DutySettle:
		return [][]byte{aggregate.SettleRecord(a.settle(d))}
	case aggregate.DutyRotate:
		return [][]byte{a.rotate(d.Rotation)}
	case aggregate.DutyCheckpoint:
		if !a.promise(aggregate.NumberedPromise(aggregate.PromiseCheckpoint, d.Size, d.Root)) {
			return nil
		}
		note := must(verify.SignCheckpoint(a.Key, a.sim.Run0, d.Size, d.Root))
		return [][]byte{aggregate.CheckpointRecord(aggregate.Checkpoint{Size: d.Size, Signer: a.ID(), Note: note})}
	}
	return nil
}

// promise writes down what is about to be signed, and reports false for what contradicts an earlier promise.
func (a *Aggregator) promise(x aggregate.Promise) bool {
	known, err := a.promises.Check(x)
	if err == nil && !known {
		a.promises.Note(x)
		a.journal = append(a.journal, must(x.Encode()))
	}
	return err == nil
}

// promised returns the record of an honest signature under a statement.
func (a *Aggregator) promised(st protocol.Statement) [][]byte {
	if !a.promise(must(aggregate.StatementPromise(&st))) {
		return nil
	}
	return [][]byte{a.cosign(st)}
}

func (a *Aggregator) cosign(st protocol.Statement) []byte {
	return aggregate.CosignRecord(st, cosign(a.Key, &st))
}

// held returns the reveals of some shards of a frozen contribution that are here and check out, or nil if one is missing.
func (a *Aggregator) held(c *protocol.Commit, frozen protocol.Digest, shards []uint32) []*protocol.Reveal {
	var all []*protocol.Reveal
	for _, k := range shards {
		r := a.reveals[revealKey{c.Round, c.Peer, k}]
		if r == nil || r.Check(&a.sim.Spec, params, nil, c, frozen) != nil {
			return nil
		}
		all = append(all, r)
	}
	return all
}

// everyShard lists the shards of the model.
func (s *Sim) everyShard() []uint32 {
	all := make([]uint32, s.Spec.Codec.Shards(params))
	for i := range all {
		all[i] = uint32(i)
	}
	return all
}

func (a *Aggregator) gather(d aggregate.DutyGather) [][]byte {
	shards := d.Own
	if shards == nil {
		shards = a.sim.everyShard()
	}
	all := a.held(&d.Commit.Body, d.Frozen, shards)
	if all == nil {
		return nil
	}
	return [][]byte{a.attest(d, all[0].Start, all[0].End)}
}

func (a *Aggregator) attest(d aggregate.DutyGather, start protocol.TraceStart, end protocol.TraceEnd) []byte {
	c, shards := d.Commit.Body, d.Own
	if len(shards) == len(a.sim.everyShard()) {
		shards = nil
	}
	return aggregate.AttestRecord(protocol.Sign(a.Key, protocol.Attest{Run: a.sim.Run0, Round: c.Round, Peer: c.Peer,
		Commit: d.Commit.Digest(), Start: start, End: end, Aggregator: a.ID(), Shards: shards}))
}

// merge computes the Certificate from the payloads held here.
func (a *Aggregator) merge(d aggregate.DutyMerge) (protocol.Statement, bool) {
	in, ok := a.contributions(&d, a.sim.everyShard())
	if !ok {
		return protocol.Statement{}, false
	}
	return a.sim.certify(d.Round, d.Prev, &d.Open, in), true
}

// contributions are those of the round with their payloads of some shards. What is missing is asked of the others.
func (a *Aggregator) contributions(d *aggregate.DutyMerge, shards []uint32) (in []aggregate.Contribution, ok bool) {
	frozen := must(protocol.DecodeBody[protocol.Freeze](&a.Chain[len(a.Chain)-2].Statement))
	commits := a.machine.Commits(d.Round)
	for _, r := range d.RevealSet.Set {
		i := slices.IndexFunc(commits, func(c protocol.Signed[protocol.Commit]) bool { return c.Body.Peer == r.Peer })
		all := a.held(&commits[i].Body, frozen.Root, shards)
		if all == nil {
			a.ask(d.Round, r.Peer)
			return nil, false
		}
		c := aggregate.Contribution{Peer: r.Peer, Steps: r.Steps}
		for _, x := range all {
			c.Payloads = append(c.Payloads, x.Payload)
		}
		in = append(in, c)
	}
	return in, true
}

// certify is the Certificate that follows from these contributions.
func (s *Sim) certify(round uint32, prev protocol.Digest, open *protocol.Open, in []aggregate.Contribution) protocol.Statement {
	theta, outer, record, err := aggregate.Merge(&s.Spec, s.vectors[open.Model], s.vectors[open.Outer], in)
	if err != nil {
		panic(err)
	}
	return protocol.NewStatement(s.Run0, round, prev, protocol.Certificate{Model: s.keep(theta), Outer: s.keep(outer), Merge: record})
}

// ask fetches the reveals of a contribution from the other aggregators.
func (a *Aggregator) ask(round uint32, peer protocol.PeerID) {
	for _, b := range a.order.members {
		if b == a {
			continue
		}
		a.sim.send(a.ID(), b.ID(), func() {
			for i := range a.sim.Spec.Codec.Shards(params) {
				if r := b.reveals[revealKey{round, peer, uint32(i)}]; r != nil && !b.Down {
					a.sim.send(b.ID(), a.ID(), func() { a.takeReveal(r) })
				}
			}
		})
	}
}

// check replays the drawn segment of the stand-in of training, from what the contributor opens.
func (a *Aggregator) check(d aggregate.DutyCheck) [][]byte {
	i := slices.IndexFunc(a.sim.Trainers, func(t *Trainer) bool { return t.ID() == d.Peer })
	leaf, path, ok := a.sim.Trainers[i].open(d.Commit.Digest(), d.Segment)
	want := state(d.Start.Model, d.Peer, int(d.Segment))
	outcome := protocol.Passed
	switch {
	case !ok:
		outcome = protocol.Withheld
	case path.Index != uint64(d.Segment)+1 || path.Check(leaf.Leaf(), d.Commit.Body.Trace) != nil:
		outcome = protocol.Malformed
	case leaf != want:
		outcome = protocol.Mismatch
	}
	return [][]byte{a.verdict(d, outcome)}
}

func (a *Aggregator) verdict(d aggregate.DutyCheck, o protocol.Outcome) []byte {
	st := state(d.Start.Model, d.Peer, int(d.Segment))
	return aggregate.VerdictRecord(protocol.Sign(a.Key, protocol.Verdict{Run: a.sim.Run0, Round: d.Assignment.Round, Peer: d.Peer,
		Drawer: d.Drawer, Verifier: a.ID(), Segment: d.Segment, Outcome: o, States: protocol.StatesDigest(a.ID(), st)}))
}

// settle pays one unit a token.
func (a *Aggregator) settle(d aggregate.DutySettle) aggregate.Settle {
	sums := map[protocol.Address]*big.Int{}
	add := func(to protocol.Address, n *big.Int) {
		if sums[to] == nil {
			sums[to] = new(big.Int)
		}
		sums[to].Add(sums[to], n)
	}
	for _, p := range d.Previous {
		add(p.Account, p.Cumulative.Big())
	}
	for _, w := range d.Work {
		add(w.Account, new(big.Int).SetUint64(w.Tokens))
	}
	s := aggregate.Settle{Signer: a.ID(), Payouts: []protocol.Payout{}}
	total := new(big.Int)
	for to, n := range sums {
		s.Payouts = append(s.Payouts, protocol.Payout{Account: to, Cumulative: protocol.AmountOf(n)})
		total.Add(total, n)
	}
	slices.SortFunc(s.Payouts, func(x, y protocol.Payout) int { return slices.Compare(x.Account[:], y.Account[:]) })
	s.Settlement = protocol.Settlement{Run: a.sim.Run0, Epoch: d.Epoch, LogRoot: d.LogRoot, PayoutRoot: payoutRoot(s.Payouts), Total: protocol.AmountOf(total)}
	sig := a.SignDigest(settlementDigest(s.Settlement))
	copy(s.Sig[:], sig[:])
	s.Sig[64] = 27
	return s
}

// Stand-ins for BLS and EIP-712.

func blsKey(id protocol.PeerID) (k [96]byte) {
	copy(k[:], id[:])
	return k
}

func blsSign(pub [96]byte, msg []byte) (sig [48]byte) {
	d := protocol.Hash("council-bls", pub[:], msg)
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
	return protocol.Hash("council-eip712", must(protocol.Encode(s)))
}

func payoutRoot(p []protocol.Payout) protocol.Digest {
	return protocol.Hash("council-payouts", must(protocol.Encode(p)))
}

func verifySettlement(s protocol.Settlement, payouts []protocol.Payout, signer protocol.PeerID, sig protocol.EVMSignature) error {
	if s.PayoutRoot != payoutRoot(payouts) {
		return errors.New("payout root does not match")
	}
	return signer.VerifyDigest(settlementDigest(s), protocol.Signature(sig[:64]))
}

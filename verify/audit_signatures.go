package verify

import (
	"bytes"
	"fmt"
	"slices"

	"drystone/protocol"
)

// maxParams bounds N, so that counts of chunks fit 32 bits.
const maxParams = 1 << 40

// signatureParts is L0: everything in the file is signed by whom it claims, chained, and in the log.
func (a *audit) signatureParts() []part {
	p := a.p
	parts := []part{
		{"run spec", a.checkSpec},
		{"Genesis", a.checkGenesis},
		{"Councils", a.checkCouncils},
		{"checks", a.checkCounts},
		{"statement chain", a.checkChain},
		{"Open", a.checkOpen},
		{"Commit", a.checkCommit},
		{"Freeze", a.checkFreeze},
		{"RevealSet", a.checkRevealSet},
		{"Certificate", a.checkCertificate},
		{"Join", a.checkJoin},
		{"trace", a.checkTrace},
		{"payload references", a.checkPayloads},
		{"checkpoint", a.checkCheckpoint},
		{"Certificate in the log", func() error { return a.inLog(LeafStatement, p.Certificate, p.Logged.Certificate) }},
		{"Join in the log", func() error { return a.inLog(LeafJoin, p.Join, p.Logged.Join) }},
		{"Commit in the log", func() error { return a.inLog(LeafCommit, p.Commit, p.Logged.Commit) }},
	}
	for i := range p.Checks {
		c := &p.Checks[i]
		name := fmt.Sprintf("check %d", i)
		parts = append(parts,
			part{name + ": Draw", c.Draw.Verify},
			part{name + ": Draw in the log", func() error { return a.inLog(LeafDraw, c.Draw, c.Logged) }})
		for j := range c.Verdicts {
			v, name := &c.Verdicts[j], fmt.Sprintf("%s: verdict %d", name, j)
			parts = append(parts,
				part{name, v.Verdict.Verify},
				part{name + " in the log", func() error { return a.inLog(LeafVerdict, v.Verdict, v.Logged) }})
		}
	}
	return append(parts, part{"settlement", a.checkSettlement}, part{"", a.summarise})
}

func (a *audit) checkSpec() error {
	a.run = protocol.Hash(protocol.DomainRun, a.p.Spec)
	a.r.Run = a.run
	if a.o.Run != nil && *a.o.Run != a.run {
		return fmt.Errorf("the proof is of run %s, not of %s", a.run, *a.o.Run)
	}
	a.r.Pinned = a.o.Run != nil
	var err error
	if a.spec, err = protocol.DecodeSpec(a.p.Spec, a.run); err == nil {
		a.r.Name = a.spec.Name
	}
	return err
}

func (a *audit) checkGenesis() error {
	var err error
	if a.genesis, a.council, err = protocol.OpenGenesis(a.spec, a.run, &a.p.Genesis); err != nil {
		return err
	}
	if a.genesis.Params < 1 || a.genesis.Params > maxParams {
		return fmt.Errorf("%d parameters, want 1 to 2^40", a.genesis.Params)
	}
	a.params = int(a.genesis.Params)
	return nil
}

// maxCouncils bounds the changes of the aggregator set that an audit follows; package aggregate admits no more in a run.
const maxCouncils = 256

// checkCouncils follows the changes of the aggregator set: each one is signed by the quorum of the set before. The set
// that a Council statement of round r installs signs from round r on.
func (a *audit) checkCouncils() (err error) {
	if len(a.p.Councils) > maxCouncils {
		return fmt.Errorf("%d changes, want at most %d", len(a.p.Councils), maxCouncils)
	}
	round := a.p.Open.Statement.Round
	a.before, a.cosigners = a.council, a.council
	last := uint32(0)
	for i := range a.p.Councils {
		s := &a.p.Councils[i]
		if s.Statement.Kind != protocol.KindCouncil || s.Statement.Round < last {
			return fmt.Errorf("statement %d is a %s of round %d, want Councils in the order of the chain", i, s.Statement.Kind, s.Statement.Round)
		}
		last = s.Statement.Round
		if err := a.cosigners.Verify(s); err != nil {
			return err
		}
		if a.cosigners, err = a.cosigners.After(a.spec, &s.Statement); err != nil {
			return err
		}
		if last <= round {
			a.council = a.cosigners
		}
		if last < round {
			a.before = a.cosigners
		}
	}
	return nil
}

// checkCounts bounds the work that the rest of the audit may cause: nobody draws or judges twice.
func (a *audit) checkCounts() error {
	n := len(a.council.Members)
	if len(a.p.Checks) > n {
		return fmt.Errorf("%d checks by %d aggregators", len(a.p.Checks), n)
	}
	for i := range a.p.Checks {
		if len(a.p.Checks[i].Verdicts) > n {
			return fmt.Errorf("%d verdicts of %d aggregators on check %d", len(a.p.Checks[i].Verdicts), n, i)
		}
	}
	return nil
}

// checkChain verifies the quorum of every statement and that each follows the one before.
func (a *audit) checkChain() error {
	p := a.p
	round := p.Open.Statement.Round
	chain := []*protocol.SignedStatement{}
	if round == 0 {
		chain = append(chain, &p.Genesis)
	}
	if want := 2 * min(round, 1); len(p.Previous) != int(want) {
		return fmt.Errorf("%d statements of the round before, want %d", len(p.Previous), want)
	}
	for i := range p.Previous {
		chain = append(chain, &p.Previous[i])
	}
	for i := range p.Councils {
		if p.Councils[i].Statement.Round == round {
			chain = append(chain, &p.Councils[i])
		}
	}
	chain = append(chain, &p.Open, &p.Freeze, &p.RevealSet, &p.Certificate)
	for i, s := range chain {
		signers := a.council
		if s.Statement.Round < round {
			signers = a.before
		}
		if k := s.Statement.Kind; k != protocol.KindGenesis && k != protocol.KindCouncil { // judged already
			if err := signers.Verify(s); err != nil {
				return err
			}
		}
		if i > 0 {
			if err := s.Statement.Follows(&chain[i-1].Statement); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *audit) checkOpen() (err error) {
	if a.open, err = protocol.DecodeBody[protocol.Open](&a.p.Open.Statement); err != nil {
		return err
	}
	model, outer := a.genesis.Model, a.genesis.Outer
	if len(a.p.Previous) > 0 {
		before, err := protocol.DecodeBody[protocol.Certificate](&a.p.Previous[1].Statement)
		if err != nil {
			return err
		}
		model, outer = before.Model, before.Outer
	}
	if a.open.Model != model || a.open.Outer != outer {
		return fmt.Errorf("it starts from model %s and outer state %s, the chain is at %s and %s", a.open.Model.Short(), a.open.Outer.Short(), model.Short(), outer.Short())
	}
	if a.open.Start.IsZero() != (a.spec.Train.Delay == 0) {
		return fmt.Errorf("it names a start of its own or none, with train.delay = %d", a.spec.Train.Delay)
	}
	if a.p.Open.Statement.Round <= 1 && a.open.From() != a.genesis.Model && a.spec.Train.Delay > 0 {
		return fmt.Errorf("it trains from model %s, the Genesis names %s", a.open.From().Short(), a.genesis.Model.Short())
	}
	at := slices.Index(a.open.Roster, a.p.Commit.Body.Peer)
	if at < 0 {
		return fmt.Errorf("peer %s is not in the roster", a.p.Commit.Body.Peer.Short())
	}
	a.index = uint32(at)
	a.shards = a.open.Shards(&a.spec.Codec, a.params, a.p.Open.Statement.Round, at)
	return nil
}

// shardsOf returns the shards that the Open of a round assigns a peer, empty for all; also for one that is not rostered.
func shardsOf(s *protocol.RunSpec, params int, o *protocol.Open, round uint32, p protocol.PeerID) []uint32 {
	return o.Shards(&s.Codec, params, round, slices.Index(o.Roster, p))
}

func (a *audit) checkCommit() error {
	c := &a.p.Commit.Body
	open := &a.p.Open.Statement
	switch {
	case c.Run != a.run || c.Round != open.Round || c.Open != open.Digest():
		return fmt.Errorf("it does not answer this round's Open")
	case c.Steps < 1 || c.Steps > a.spec.Train.Steps:
		return fmt.Errorf("%d steps, want 1 to %d", c.Steps, a.spec.Train.Steps)
	}
	return a.p.Commit.Verify()
}

func (a *audit) checkFreeze() (err error) {
	if a.freeze, err = protocol.DecodeBody[protocol.Freeze](&a.p.Freeze.Statement); err != nil {
		return err
	}
	leaves := make([]protocol.Digest, len(a.freeze.Commits))
	at := -1
	for i, f := range a.freeze.Commits {
		leaves[i] = protocol.FrozenLeaf(f.Commit)
		if f.Peer == a.p.Commit.Body.Peer && f.Commit == a.p.Commit.Digest() {
			at = i
		}
	}
	switch {
	case protocol.RootOf(leaves) != a.freeze.Root:
		return fmt.Errorf("its root is not that of the commits that it lists")
	case at < 0:
		return fmt.Errorf("it does not list the commit")
	case a.p.Frozen.Index != uint64(at) || a.p.Frozen.Size != uint64(len(leaves)):
		return fmt.Errorf("the commit's path is to leaf %d of %d, want %d of %d", a.p.Frozen.Index, a.p.Frozen.Size, at, len(leaves))
	}
	return a.p.Frozen.Check(leaves[at], a.freeze.Root)
}

func (a *audit) checkRevealSet() (err error) {
	if a.revealSet, err = protocol.DecodeBody[protocol.RevealSet](&a.p.RevealSet.Statement); err != nil {
		return err
	}
	c := &a.p.Commit
	a.place = slices.IndexFunc(a.revealSet.Set, func(r protocol.Revealed) bool { return r.Peer == c.Body.Peer })
	if a.place < 0 {
		return fmt.Errorf("the contribution is not in it")
	}
	a.entry = a.revealSet.Set[a.place]
	if want := (protocol.Revealed{Peer: c.Body.Peer, Commit: c.Digest(), Steps: c.Body.Steps, Payload: a.p.End.Payload, Feedback: a.p.End.Feedback}); a.entry != want {
		return fmt.Errorf("its entry of the contribution differs from the commit and the trace's end")
	}
	return nil
}

func (a *audit) checkCertificate() (err error) {
	if a.cert, err = protocol.DecodeBody[protocol.Certificate](&a.p.Certificate.Statement); err != nil {
		return err
	}
	if !slices.EqualFunc(a.cert.Merge, a.revealSet.Set, func(m protocol.Merged, r protocol.Revealed) bool { return m.Peer == r.Peer }) {
		return fmt.Errorf("its merge record does not list the peers of the RevealSet")
	}
	return nil
}

func (a *audit) checkJoin() error {
	j := &a.p.Join.Body
	if j.Run != a.run || j.Peer != a.p.Commit.Body.Peer {
		return fmt.Errorf("it is not the contributor's for this run")
	}
	return a.p.Join.Verify()
}

// checkTrace opens the two ends of the trace: the contribution stands on public state and on the peer's own last one.
func (a *audit) checkTrace() error {
	p, c := a.p, &a.p.Commit.Body
	last := uint64(a.spec.Segments(c.Steps)) + 1
	if p.StartPath.Index != 0 || p.StartPath.Size != last+1 || p.EndPath.Index != last || p.EndPath.Size != last+1 {
		return fmt.Errorf("paths are not to the first and last of %d leaves", last+1)
	}
	if err := p.StartPath.Check(p.Start.Leaf(), c.Trace); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := p.EndPath.Check(p.End.Leaf(), c.Trace); err != nil {
		return fmt.Errorf("end: %w", err)
	}
	if from := a.open.From(); p.Start.Model != from {
		return fmt.Errorf("it starts from model %s, the round from %s", p.Start.Model.Short(), from.Short())
	}
	var carried protocol.Digest
	if len(p.Previous) > 0 {
		before, err := protocol.DecodeBody[protocol.RevealSet](&p.Previous[0].Statement)
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(before.Set, func(r protocol.Revealed) bool { return r.Peer == c.Peer }); at >= 0 {
			carried = before.Set[at].Feedback
		}
	}
	if p.Start.Feedback != carried {
		return fmt.Errorf("it carries error feedback %s, the round before left %s", p.Start.Feedback.Short(), carried.Short())
	}
	return nil
}

func (a *audit) checkPayloads() error {
	if len(a.p.Payloads) != len(a.revealSet.Set) {
		return fmt.Errorf("%d contributions, the RevealSet has %d", len(a.p.Payloads), len(a.revealSet.Set))
	}
	for i, r := range a.revealSet.Set {
		own := shardsOf(a.spec, a.params, a.open, a.p.Open.Statement.Round, r.Peer)
		if refs := a.p.Payloads[i]; len(refs.Shards) != a.spec.Codec.Owed(a.params, own) || refs.root(r.Peer, own) != r.Payload {
			return fmt.Errorf("those of %s are not what it committed", r.Peer.Short())
		}
	}
	return nil
}

func (a *audit) checkCheckpoint() error {
	cp, err := OpenCheckpoint(a.p.Checkpoint, a.cosigners)
	if err != nil {
		return err
	}
	if len(cp.Signers) < a.cosigners.Threshold {
		return fmt.Errorf("%d aggregators signed it, want %d", len(cp.Signers), a.cosigners.Threshold)
	}
	if plain, err := MergeCheckpoints(a.cosigners, a.p.Checkpoint); err != nil || !bytes.Equal(plain, a.p.Checkpoint) {
		return fmt.Errorf("its signatures are not those of aggregators alone, in ascending order")
	}
	a.logSize, a.logRoot = cp.Size, cp.Root
	return nil
}

// inLog checks that a message is in the log that the checkpoint fixes.
func (a *audit) inLog(t LeafType, v any, path protocol.Path) error {
	leaf, err := EncodeLeaf(t, v)
	if err != nil {
		return err
	}
	if path.Size != a.logSize {
		return fmt.Errorf("path is to a log of %d leaves, the checkpoint fixes %d", path.Size, a.logSize)
	}
	return path.Check(protocol.LeafHash(leaf), a.logRoot)
}

func (a *audit) checkSettlement() error {
	if len(a.p.Settlement) > 1 {
		return fmt.Errorf("%d settlements, want at most one", len(a.p.Settlement))
	}
	for _, s := range a.p.Settlement {
		if s.Settlement.Run != a.run || s.Payout.Account != a.p.Join.Body.Payout {
			return fmt.Errorf("it is not about this run and the account that the Join names")
		}
	}
	return nil
}

// summarise tells what L0 found; it cannot fail.
func (a *audit) summarise() error {
	r, c := a.r, &a.p.Commit.Body
	r.Round, r.Peer, r.Payout, r.Coverage.Steps = c.Round, c.Peer, a.p.Join.Body.Payout, c.Steps
	r.Tokens = a.spec.Tokens(c.Steps, a.params, a.shards)
	if len(a.shards) > 0 {
		r.Shards, r.Owed = a.spec.Codec.Shards(a.params), len(a.shards)
	}
	r.note(L0, "statements of round %d signed by at least %d of %d aggregators and chained", c.Round, a.council.Threshold, len(a.council.Members))
	if n := len(a.p.Councils); n > 0 {
		r.note(L0, "%d changes of the aggregators, each signed by the quorum of the set before", n)
	}
	r.note(L0, "commit, Join, draws, verdicts and Certificate in the transparency log of %d leaves", a.logSize)
	return nil
}

package council

import (
	"slices"
	"time"

	"drystone/aggregate"
	"drystone/protocol"
)

// Trainer is one contributor: it believes what t of n signed and follows.
type Trainer struct {
	protocol.Key
	Chain   []protocol.SignedStatement // verified, Genesis first
	Refused int                        // statements that it did not believe
	Forked  []protocol.SignedStatement // believable ones for a place that it has another of
	// Lies; nil for none.
	Delay func(round uint32) time.Duration // how long training takes
	Alter func(s *Sim, c *contribution)    // changes the contribution before it is committed
	Hide  func(r *protocol.Reveal) bool    // withholds, or changes, a reveal
	Also  func(t *Trainer, open *protocol.SignedStatement)

	sim      *Sim
	council  *protocol.Council // that judges the next statement; nil for that of the Genesis
	index    int
	made     []protocol.Digest // commits, oldest first
	receipts map[protocol.Digest][]protocol.Signed[protocol.Receipt]
}

// start joins and begins to ask for statements.
func (t *Trainer) start() {
	join := protocol.Sign(t.Key, protocol.Join{Run: t.sim.Run0, Peer: t.ID(), Payout: protocol.Address{byte(t.index + 1)}, Nonce: 1})
	t.Chain = []protocol.SignedStatement{*t.sim.genesis}
	t.sim.After(t.sim.delay(), func() { t.sim.joinUntilRostered(t, aggregate.JoinRecord(join)) })
	t.sim.After(retry, t.poll)
}

func (s *Sim) joinUntilRostered(t *Trainer, record []byte) {
	if len(t.Chain) > 1 {
		return
	}
	t.tellAll(func(a *Aggregator) { a.order.propose(a, record) })
	s.After(retry, func() { s.joinUntilRostered(t, record) })
}

// tellAll sends something to each aggregator that is up.
func (t *Trainer) tellAll(do func(*Aggregator)) {
	for _, a := range t.sim.Aggs {
		t.sim.send(t.ID(), a.ID(), func() {
			if !a.Down {
				do(a)
			}
		})
	}
}

// poll asks one aggregator for the statements that gossip lost.
func (t *Trainer) poll() {
	t.sim.After(retry, t.poll)
	a := t.sim.Aggs[t.sim.rng.IntN(len(t.sim.Aggs))]
	t.sim.send(t.ID(), a.ID(), func() {
		if from := len(t.Chain); !a.Down && from < len(a.Chain) {
			for _, s := range a.Chain[from:] {
				t.sim.After(t.sim.delay(), func() { t.hear(a, s) })
			}
		}
	})
}

// hear takes a statement if t of n signed it and it follows what the trainer has.
func (t *Trainer) hear(from *Aggregator, s protocol.SignedStatement) {
	d, last := s.Statement.Digest(), &t.Chain[len(t.Chain)-1].Statement
	if slices.ContainsFunc(t.Chain, func(x protocol.SignedStatement) bool { return x.Statement.Digest() == d }) {
		return
	}
	if s.Statement.Follows(last) != nil {
		rivals := func(x protocol.SignedStatement) bool { return x.Statement.Rivals(&s.Statement) }
		if slices.ContainsFunc(t.Chain, rivals) && t.sim.council.Verify(&s) == nil {
			t.Forked = append(t.Forked, s)
		}
		return // poll fills a gap
	}
	council := t.sim.council
	if t.council != nil {
		council = t.council
	}
	next, err := council.After(&t.sim.Spec, &s.Statement)
	if err != nil || council.Verify(&s) != nil {
		t.Refused++
		return
	}
	t.Chain, t.council = append(t.Chain, s), next
	switch s.Statement.Kind {
	case protocol.KindOpen:
		t.train(&s)
	case protocol.KindFreeze:
		t.publish(&s)
	}
}

// train makes the contribution, commits it when the time of training is over, and goes on until it is frozen.
func (t *Trainer) train(open *protocol.SignedStatement) {
	round := open.Statement.Round
	var feedback []float32
	if last, ok := t.lastRevealed(); ok && t.sim.codec.HasFeedback() {
		feedback = t.sim.vectors[last]
	}
	var lie func(*contribution)
	if t.Alter != nil {
		lie = func(c *contribution) { t.Alter(t.sim, c) }
	}
	c := t.sim.train(t.Key, t.index, open, feedback, lie)
	t.made = append(t.made, c.commit.Digest())
	wait := time.Duration(t.index+1) * time.Second
	if t.Delay != nil {
		wait = t.Delay(round)
	}
	t.sim.After(wait, func() { t.commit(c.commit) })
	if t.Also != nil {
		t.Also(t, open)
	}
}

// lastRevealed is the error feedback of the trainer's contribution in the newest RevealSet.
func (t *Trainer) lastRevealed() (protocol.Digest, bool) {
	round := t.Chain[len(t.Chain)-1].Statement.Round // of the Open that was just heard
	if round == 0 {
		return protocol.Digest{}, false
	}
	set := must(protocol.DecodeBody[protocol.RevealSet](&find(t.Chain, protocol.KindRevealSet, round-1).Statement))
	for _, r := range set.Set {
		if r.Peer == t.ID() {
			return r.Feedback, true
		}
	}
	return protocol.Digest{}, false
}

// commit sends the commit to every aggregator, again until the Freeze of the round comes.
func (t *Trainer) commit(c protocol.Signed[protocol.Commit]) {
	if find(t.Chain, protocol.KindFreeze, c.Body.Round) != nil {
		return
	}
	t.tellAll(func(a *Aggregator) {
		if !t.promised(a, c.Digest()) {
			a.takeCommit(t.ID(), c)
		}
	})
	t.sim.After(retry, func() { t.commit(c) })
}

// promised reports whether the trainer has a receipt of an aggregator.
func (t *Trainer) promised(a *Aggregator, commit protocol.Digest) bool {
	return slices.ContainsFunc(t.receipts[commit], func(r protocol.Signed[protocol.Receipt]) bool { return r.Body.Aggregator == a.ID() })
}

func (t *Trainer) takeReceipt(r protocol.Signed[protocol.Receipt]) {
	if r.Verify() == nil {
		t.receipts[r.Body.Commit] = append(t.receipts[r.Body.Commit], r)
	}
}

// publish sends the reveals of a frozen commit, again until the RevealSet comes.
func (t *Trainer) publish(freeze *protocol.SignedStatement) {
	if find(t.Chain, protocol.KindRevealSet, freeze.Statement.Round) != nil {
		return
	}
	f := must(protocol.DecodeBody[protocol.Freeze](&freeze.Statement))
	c := t.sim.work[t.made[len(t.made)-1]]
	for _, r := range c.reveals(f) {
		if t.Hide == nil || !t.Hide(r) {
			t.tellAll(func(a *Aggregator) { a.takeReveal(r) })
		}
	}
	t.sim.After(retry, func() { t.publish(freeze) })
}

// open answers a check: the state after a segment of a commit.
func (t *Trainer) open(commit protocol.Digest, segment uint32) (protocol.TraceState, protocol.Path, bool) {
	c, ok := t.sim.work[commit]
	if !ok || int(segment) >= len(c.states) {
		return protocol.TraceState{}, protocol.Path{}, false
	}
	return c.states[segment], protocol.PathTo(c.leaves(), int(segment)+1), true
}

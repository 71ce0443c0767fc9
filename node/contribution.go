package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/protocol"
	"drystone/verify"
)

// gossipGrace is how long an aggregator waits for reveals to arrive by gossip before it asks the contributor itself.
const gossipGrace = 2 * time.Second

// source is a frozen contribution: its reveals are checked against these.
type source struct {
	frozen protocol.Digest
	commit *protocol.Signed[protocol.Commit]
	shards []uint32 // assigned, empty for all
}

// gather collects the shards of a frozen contribution that fall to this aggregator and attests to holding them.
func (a *Aggregator) gather(ctx context.Context, d aggregate.DutyGather) error {
	grace := time.NewTimer(gossipGrace)
	defer grace.Stop()
	places := a.places(d)
	c := &d.Commit.Body
	for {
		arrived := a.reveals.wait()
		all, err := a.collect(d)
		if err != nil {
			return err
		}
		if len(all) == len(places) {
			return a.propose(ctx, aggregate.AttestRecord(protocol.Sign(a.cfg.Key, protocol.Attest{
				Run: a.run, Round: d.Round, Peer: c.Peer, Commit: d.Commit.Digest(), Start: all[0].Start, End: all[0].End, Aggregator: a.cfg.Key.ID(), Shards: a.partly(d),
			})))
		}
		select {
		case <-arrived:
			continue
		case <-ctx.Done():
			return ctx.Err()
		case <-grace.C:
		}
		for _, i := range places {
			if err := a.fetchReveal(ctx, source{d.Frozen, &d.Commit, d.Shards}, i, []protocol.PeerID{c.Peer}); err != nil {
				return fmt.Errorf("%w: %w", errNotYet, err)
			}
		}
	}
}

// collect returns the shards to be gathered that are here and check out. All of them open the same trace leaves.
func (a *Aggregator) collect(d aggregate.DutyGather) ([]*protocol.Reveal, error) {
	var all []*protocol.Reveal
	for _, i := range a.places(d) {
		r, err := a.reveal(source{d.Frozen, &d.Commit, d.Shards}, i)
		if err != nil {
			return nil, err
		}
		if r != nil {
			all = append(all, r)
		}
	}
	return all, nil
}

// reveal reads the i-th shard from disk and checks it again; nil if it is not here.
func (a *Aggregator) reveal(s source, i int) (*protocol.Reveal, error) {
	c, shard := &s.commit.Body, uint32(protocol.ShardAt(s.shards, i))
	data, err := a.reveals.get(c.Round, c.Peer, shard)
	if err != nil || data == nil {
		return nil, err
	}
	r, err := protocol.DecodeReveal(data)
	if err == nil {
		err = r.Check(a.spec, a.params, s.shards, c, s.frozen)
	}
	if err != nil {
		a.cfg.Log.Warn("a kept reveal is damaged; fetching it again", "round", c.Round, "peer", c.Peer.Short(), "shard", shard, "err", err)
		return nil, nil
	}
	return r, nil
}

// inSet holds a reveal, which its commit proves, against what the RevealSet names, which t attesters say they hold.
func inSet(s *protocol.Reveal, r *protocol.Revealed) error {
	if s.End.Payload != r.Payload || s.End.Feedback != r.Feedback {
		return fmt.Errorf("the RevealSet of round %d names payload %s of %s, its commit proves %s: no merge here", s.Round, r.Payload.Short(), r.Peer.Short(), s.End.Payload.Short())
	}
	return nil
}

// fetchReveal asks peers, one after the other, for the i-th shard if it is not here, checks it and keeps it.
func (a *Aggregator) fetchReveal(ctx context.Context, s source, i int, from []protocol.PeerID) error {
	if r, err := a.reveal(s, i); err != nil || r != nil {
		return err
	}
	c, shard := &s.commit.Body, uint32(protocol.ShardAt(s.shards, i))
	req, err := protocol.Encode(revealRequest{Round: c.Round, Peer: c.Peer, Shard: shard})
	if err != nil {
		return err
	}
	last := errors.New("no source")
	for _, p := range from {
		data, err := a.callFor(ctx, 20*time.Second, p, callReveal, req, protocol.MaxMessage)
		if err != nil {
			last = err
			continue
		}
		r, err := protocol.DecodeReveal(data)
		if err == nil {
			err = r.Check(a.spec, a.params, s.shards, c, s.frozen)
		}
		if err != nil || r.Shard != shard {
			last = fmt.Errorf("from %s: %w", p.Short(), errors.Join(err, errors.New("not the shard asked for")))
			continue
		}
		return a.reveals.put(r, data)
	}
	return fmt.Errorf("shard %d of %s in round %d: %w", shard, c.Peer.Short(), c.Round, last)
}

func (m *member) callFor(ctx context.Context, limit time.Duration, to protocol.PeerID, name string, req []byte, maxResp int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return m.host.Call(ctx, to, name, req, maxResp)
}

// shardsOf returns every assigned shard of a contribution, fetching from the other aggregators and the contributor what
// is not here.
func (a *Aggregator) shardsOf(ctx context.Context, s source) ([]*protocol.Reveal, error) {
	peers := append(a.councilPeers(), s.commit.Body.Peer)
	all := make([]*protocol.Reveal, a.spec.Codec.Owed(a.params, s.shards))
	for i := range all {
		if err := a.fetchReveal(ctx, s, i, peers); err != nil {
			return nil, err
		}
		r, err := a.reveal(s, i)
		if err != nil || r == nil {
			return nil, errors.Join(err, fmt.Errorf("shard %d of %s vanished from disk", protocol.ShardAt(s.shards, i), s.commit.Body.Peer.Short()))
		}
		all[i] = r
	}
	return all, nil
}

// roundParts are the commits and the frozen root of a live round.
func (a *Aggregator) roundParts(round uint32) (frozen protocol.Digest, commits map[protocol.PeerID]protocol.Signed[protocol.Commit], err error) {
	f, _, err := statementOf[protocol.Freeze](a.history, protocol.KindFreeze, round)
	if err != nil {
		return frozen, nil, fmt.Errorf("%w: %w", errNotYet, err)
	}
	commits = map[protocol.PeerID]protocol.Signed[protocol.Commit]{}
	a.replica.Read(func(m *aggregate.Machine) {
		for _, c := range m.Commits(round) {
			commits[c.Body.Peer] = c
		}
	})
	return f.Root, commits, nil
}

// merge computes the round's result and cosigns its Certificate.
func (a *Aggregator) merge(ctx context.Context, d aggregate.DutyMerge) error {
	theta, err := a.model(ctx, d.Round, d.Open.Model, a.councilPeers)
	if err != nil {
		return err
	}
	outer, err := a.outer(ctx, d.Open.Outer)
	if err != nil {
		return err
	}
	frozen, commits, err := a.roundParts(d.Round)
	if err != nil {
		return err
	}
	contributions := make([]aggregate.Contribution, 0, len(d.RevealSet.Set))
	for _, r := range d.RevealSet.Set {
		commit, ok := commits[r.Peer]
		if !ok {
			return fmt.Errorf("%w: commit of %s in round %d is not here", errNotYet, r.Peer.Short(), d.Round)
		}
		own := d.Open.Shards(&a.spec.Codec, a.params, d.Round, rosterIndex(&d.Open, r.Peer))
		shards, err := a.shardsOf(ctx, source{frozen, &commit, own})
		if err != nil {
			return err
		}
		c := aggregate.Contribution{Peer: r.Peer, Round: d.Round, Steps: r.Steps, Shards: own}
		for _, s := range shards {
			if err := inSet(s, &r); err != nil {
				return err
			}
			if _, err := a.blobs.Put(s.Payload); err != nil { // for whoever recomputes the merge
				return err
			}
			c.Payloads = append(c.Payloads, s.Payload)
		}
		contributions = append(contributions, c)
	}
	result, err := aggregate.MergeContext(ctx, a.spec, theta, outer, contributions)
	if err != nil {
		return fmt.Errorf("merge of round %d: %w", d.Round, err)
	}
	body := protocol.Certificate{Merge: result.Record, Updates: result.Updates(a.spec)}
	if err := a.putUpdates(result.Down...); err != nil {
		return err
	}
	if body.Model, err = a.blobs.Put(floatBytes(result.Theta)); err != nil {
		return err
	}
	if body.Outer, err = a.blobs.Put(floatBytes(result.Outer)); err != nil {
		return err
	}
	st := protocol.NewStatement(a.run, d.Round, d.Prev, body)
	sig, err := a.promised(&st)
	if err != nil {
		return err
	}
	return a.propose(ctx, aggregate.CosignRecord(st, sig))
}

// outer reads the outer state, whose length the optimiser and the way down set.
func (a *Aggregator) outer(ctx context.Context, root protocol.Digest) ([]float32, error) {
	return a.vector(ctx, root, a.spec.OuterState(a.params), a.councilPeers)
}

// check replays what a draw chose of a contribution and gives a verdict.
func (a *Aggregator) check(ctx context.Context, d aggregate.DutyCheck) error {
	round := d.Assignment.Round
	model, err := a.history.startRoot(round)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotYet, err)
	}
	theta, err := a.model(ctx, round-min(round, a.spec.Train.Delay), model, a.councilPeers)
	if err != nil {
		return err
	}
	frozen, _, err := a.roundParts(round)
	if err != nil {
		return err
	}
	reveals, err := a.shardsOf(ctx, source{frozen, &d.Commit, d.Assignment.Shards})
	if err != nil {
		return err
	}
	task := &verify.Task{
		Spec: a.spec, Run: a.run, Params: a.params, Model: model, Commit: d.Commit, Start: d.Start, End: d.End,
		Assignment: d.Assignment, Challenge: verify.Challenge{Segment: d.Segment, Chunks: d.Chunks}, Theta: theta,
	}
	for _, r := range reveals {
		task.Shards = append(task.Shards, verify.Shard{Payload: r.Payload, Salt: r.Salt})
	}
	opener := &remoteOpener{member: &a.member, peer: d.Peer, deadline: time.Now().Add(a.spec.Deadlines.CheckFor() / 2)}
	outcome, state, err := verify.Check(ctx, task, verify.Tools{Replayer: replayer{a.device}, Opener: opener})
	if err != nil {
		return err
	}
	self := a.cfg.Key.ID()
	verdict := protocol.Verdict{
		Run: a.run, Round: round, Peer: d.Peer, Drawer: d.Drawer, Verifier: self, Segment: d.Segment,
		Outcome: outcome, States: protocol.StatesDigest(self, state),
	}
	a.keepOpening(round, d.Peer, d.Drawer, opener.opening)
	if err := a.propose(ctx, aggregate.VerdictRecord(protocol.Sign(a.cfg.Key, verdict))); err != nil {
		return err
	}
	a.emit(Event{Kind: EventVerdict, Round: round, Peer: d.Peer, Step: d.Segment, Count: uint64(outcome),
		Text: fmt.Sprintf("%s checked %s: segment %d %s", self.Short(), d.Peer.Short(), d.Segment, outcome)})
	return nil
}

// remoteOpener asks the contributor over the network until the deadline of the check.
type remoteOpener struct {
	member   *member
	peer     protocol.PeerID
	deadline time.Time
	opening  *protocol.Opening // the last answer, for the proof
}

// Open implements verify.Opener.
func (o *remoteOpener) Open(ctx context.Context, r protocol.OpenRequest) (*protocol.Opening, error) {
	req, err := protocol.Encode(r)
	if err != nil {
		return nil, err
	}
	limit := protocol.MaxOpening(o.member.params, uint32(len(r.Chunks)))
	asking, cancel := context.WithDeadline(ctx, o.deadline)
	defer cancel()
	var data []byte
	err = retry(asking, time.Second, func() error {
		data, err = o.member.host.Call(asking, o.peer, callOpen, req, limit)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, gossip.ErrTooLarge):
		return nil, fmt.Errorf("%w: %w", verify.ErrMalformed, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", verify.ErrWithheld, err)
	}
	if o.opening, err = protocol.DecodeOpening(data, limit); err != nil {
		return nil, fmt.Errorf("%w: %w", verify.ErrMalformed, err)
	}
	return o.opening, nil
}

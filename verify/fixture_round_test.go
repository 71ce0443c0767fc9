package verify

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"drystone/protocol"
)

// contribution is what a peer makes in a round, and all that it needs to answer checks.
type contribution struct {
	w          *world
	index      int
	theta      []float32 // theta_r
	start      protocol.TraceStart
	end        protocol.TraceEnd
	states     []toyState // 0 to S
	leaves     []protocol.Digest
	before     []float32
	after      []float32
	shards     []Shard
	commit     protocol.Signed[protocol.Commit]
	assignment protocol.Assignment
	frozen     protocol.Path
	statements []protocol.SignedStatement // Previous, Open, Freeze, RevealSet, Certificate
	refs       []PayloadRefs
}

// cheat changes a contribution before it is committed.
type cheat struct {
	state   func(segment int, s toyState) // after each segment
	payload func(p []byte)                // of the first shard
	after   func(feedback []float32)      // before it is committed
	shards  []uint32                      // to train in place of those assigned
}

// round plays one round up to its Certificate and returns the contributions. cheats[i] is peer i's.
func (w *world) round(number uint32, steps uint32, cheats ...cheat) []*contribution {
	w.t.Helper()
	first := len(w.chain) - 1
	roster := []protocol.PeerID{}
	for _, k := range w.peers {
		roster = append(roster, k.ID())
	}
	model := w.blobs.put(floatBytes(w.theta))
	w.append(LeafStatement, w.sign(protocol.NewStatement(w.run, number, w.head(), protocol.Open{Model: model, Outer: protocol.MerkleRoot(nil), Roster: roster, Capacity: w.capacity}), w.aggs[:2]))
	open := w.head()
	cs := []*contribution{}
	freeze, set := protocol.Freeze{}, protocol.RevealSet{}
	leaves := []protocol.Digest{}
	for i, k := range w.peers {
		c := w.contribute(i, number, steps, model, append(cheats, make([]cheat, len(w.peers))...)[i])
		c.commit = protocol.Sign(k, protocol.Commit{Run: w.run, Round: number, Peer: k.ID(), Open: open, Trace: protocol.RootOf(c.leaves), Steps: steps})
		w.append(LeafCommit, c.commit)
		cs = append(cs, c)
		freeze.Commits = append(freeze.Commits, protocol.Frozen{Peer: k.ID(), Commit: c.commit.Digest()})
		leaves = append(leaves, protocol.FrozenLeaf(c.commit.Digest()))
		set.Set = append(set.Set, protocol.Revealed{Peer: k.ID(), Commit: c.commit.Digest(), Steps: steps, Payload: c.end.Payload, Feedback: c.end.Feedback})
	}
	freeze.Root = protocol.RootOf(leaves)
	w.append(LeafStatement, w.sign(protocol.NewStatement(w.run, number, w.head(), freeze), w.aggs[1:]))
	w.append(LeafStatement, w.sign(protocol.NewStatement(w.run, number, w.head(), set), w.aggs))
	inputs, refs := []Contribution{}, []PayloadRefs{}
	for i, c := range cs {
		c.frozen = protocol.PathTo(leaves, i)
		in := Contribution{Peer: w.peers[i].ID(), Steps: steps, Shards: c.assignment.Shards}
		for _, s := range c.shards {
			w.blobs.put(s.Payload)
			in.Payloads = append(in.Payloads, s.Payload)
		}
		inputs, refs = append(inputs, in), append(refs, Refs(c.shards))
		w.feedback[i], w.carried[i] = c.after, c.end.Feedback
	}
	merged, err := mergeMean(w.spec, w.theta, nil, inputs)
	w.must(err)
	w.theta = merged.Theta
	w.append(LeafStatement, w.sign(protocol.NewStatement(w.run, number, w.head(), protocol.Certificate{Model: w.blobs.put(floatBytes(w.theta)), Outer: protocol.MerkleRoot(nil), Merge: merged.Record}), w.aggs[:2]))
	for _, c := range cs {
		c.refs, c.statements = refs, slices.Clone(w.chain[max(first-1, 0):])
	}
	return cs
}

func (w *world) contribute(i int, round, steps uint32, model protocol.Digest, ch cheat) *contribution {
	w.t.Helper()
	c := &contribution{w: w, index: i, theta: w.theta, before: w.feedback[i], after: slices.Clone(w.feedback[i])}
	shards := protocol.AssignShards(w.spec.Codec.Shards(w.params), round, w.capacity, i)
	c.assignment = protocol.Assignment{Run: w.run, Round: round, Index: uint32(i), Steps: steps, Shards: shards}
	did := c.assignment // what the peer does
	if ch.shards != nil {
		did.Shards = ch.shards
	}
	c.start = protocol.TraceStart{Model: model, Feedback: w.carried[i]}
	c.leaves = []protocol.Digest{c.start.Leaf()}
	n := w.spec.Codec.Trained(w.params, did.Shards)
	s := clone(w.theta, make([]float32, n), make([]float32, n))
	c.states = []toyState{clone(s[0], s[1], s[2])}
	for seg := range w.spec.Segments(steps) {
		from, to := SegmentSteps(w.spec, steps, seg)
		var err error
		s, err = trainToy(w.spec.Codec, did, s, from, to)
		w.must(err)
		if ch.state != nil {
			ch.state(int(seg), s)
		}
		c.states = append(c.states, clone(s[0], s[1], s[2]))
		c.leaves = append(c.leaves, s.leaf(to).Leaf())
	}
	payloads := []protocol.Digest{}
	for place := range w.spec.Codec.Owed(w.params, shards) {
		shard := protocol.ShardAt(shards, place)
		lo, hi := w.spec.Codec.Shard(w.params, shard)
		u := make([]float32, hi-lo)
		for j := range u {
			u[j] = w.theta[lo+j] - s[0][lo+j]
		}
		p, err := w.codec.Encode(nil, u, c.after[lo:hi])
		w.must(err)
		if ch.payload != nil && place == 0 {
			ch.payload(p)
		}
		sh := Shard{Payload: p, Salt: [16]byte{byte(shard), byte(i), byte(round)}}
		c.shards = append(c.shards, sh)
		payloads = append(payloads, protocol.PayloadLeaf(w.peers[i].ID(), uint32(shard), p, sh.Salt))
	}
	c.end = protocol.TraceEnd{Payload: protocol.RootOf(payloads)}
	if ch.after != nil {
		ch.after(c.after)
	}
	if w.codec.HasFeedback() {
		c.end.Feedback = protocol.MerkleRoot(floatBytes(c.after))
	}
	c.leaves = append(c.leaves, c.end.Leaf())
	return c
}

// Open answers as an honest peer does from what it committed: a contribution is its own Opener.
func (c *contribution) Open(_ context.Context, r protocol.OpenRequest) (*protocol.Opening, error) {
	seg, last := int(r.Segment), len(c.states)-1
	o := &protocol.Opening{To: c.state(seg + 1), ToPath: protocol.PathTo(c.leaves, seg+1), Final: c.state(last), FinalPath: protocol.PathTo(c.leaves, last)}
	if seg > 0 {
		o.From, o.FromPath = c.state(seg), protocol.PathTo(c.leaves, seg)
		if c.w.spec.Verify.Kind == "segment" {
			s := c.states[seg]
			o.Theta, o.M, o.V = floatBytes(s[0]), floatBytes(s[1]), floatBytes(s[2])
		}
	}
	for _, i := range r.Chunks {
		co := protocol.ChunkOpening{Index: i}
		co.Theta, co.ThetaPath = leafOf(c.states[last][0], i)
		if !c.start.Feedback.IsZero() {
			co.Before, co.BeforePath = leafOf(c.before, i)
		}
		if c.w.codec.HasFeedback() {
			co.After, co.AfterPath = leafOf(c.after, i)
		}
		o.Chunks = append(o.Chunks, co)
	}
	return o, nil
}

func leafOf(v []float32, i uint32) ([]byte, protocol.Path) {
	lo, hi := chunkRange(len(v), i)
	return floatBytes(v[lo:hi]), protocol.PathTo(protocol.DataLeaves(floatBytes(v)), int(i))
}

func (c *contribution) state(i int) protocol.TraceState {
	_, to := SegmentSteps(c.w.spec, c.assignment.Steps, uint32(i-1))
	return c.states[i].leaf(to)
}

// statement returns the statement of a kind of the contribution's own round.
func (c *contribution) statement(k protocol.Kind) protocol.SignedStatement {
	i := slices.IndexFunc(c.statements, func(s protocol.SignedStatement) bool {
		return s.Statement.Kind == k && s.Statement.Round == c.assignment.Round
	})
	return c.statements[i]
}

func (c *contribution) peer() protocol.PeerID { return c.w.peers[c.index].ID() }

// duty returns the places in w.aggs of those who check the contribution, in the order of their duty.
func (c *contribution) duty() []int {
	ids := []protocol.PeerID{}
	for _, k := range c.w.aggs {
		ids = append(ids, k.ID())
	}
	set := c.statement(protocol.KindRevealSet)
	order := []int{}
	for _, id := range protocol.CheckOrder(set.Statement.Digest(), c.peer(), ids) {
		order = append(order, slices.Index(ids, id))
	}
	return order
}

func (c *contribution) draw(agg int) protocol.Signed[protocol.Draw] {
	set, freeze := c.statement(protocol.KindRevealSet), c.statement(protocol.KindFreeze)
	f, err := protocol.DecodeBody[protocol.Freeze](&freeze.Statement)
	c.w.must(err)
	return must(NewDraw(c.w.aggs[agg], c.w.bls[agg], c.w.run, c.assignment.Round, f.Root, set.Statement.Digest()))(c.w.t)
}

func (c *contribution) task(ch Challenge) *Task {
	w := c.w
	return &Task{Spec: w.spec, Run: w.run, Params: w.params, Model: c.start.Model, Commit: c.commit, Start: c.start, End: c.end,
		Assignment: c.assignment, Challenge: ch, Theta: c.theta, Shards: c.shards}
}

// checked runs a whole check of a contribution: the first on duty draws, and if it fails the others confirm.
func (c *contribution) checked() CheckRecord { return c.checkedBy(0) }

// checkedBy is checked with the draw of another, by its place in the order of duty.
func (c *contribution) checkedBy(place int) CheckRecord {
	w := c.w
	w.t.Helper()
	order := slices.Concat(c.duty()[place:], c.duty()[:place])
	rec := CheckRecord{Draw: c.draw(order[0])}
	w.append(LeafDraw, rec.Draw)
	ch := ChallengeOf(w.spec, w.params, &rec.Draw.Body, c.peer(), c.assignment.Steps, c.assignment.Shards)
	o, err := c.Open(context.Background(), protocol.OpenRequest{Segment: ch.Segment, Chunks: ch.Chunks})
	w.must(err)
	rec.Opening = []protocol.Opening{*o}
	for _, agg := range order {
		outcome, state, err := Check(context.Background(), c.task(ch), Tools{&toy{run: w.run, c: w.spec.Codec}, c})
		w.must(err)
		id := w.aggs[agg].ID()
		v := protocol.Sign(w.aggs[agg], protocol.Verdict{Run: w.run, Round: c.assignment.Round, Peer: c.peer(), Drawer: rec.Draw.Body.Verifier, Verifier: id,
			Segment: ch.Segment, Outcome: outcome, States: protocol.StatesDigest(id, state)})
		w.append(LeafVerdict, v)
		rec.Verdicts = append(rec.Verdicts, VerdictRecord{Verdict: v})
		if outcome == protocol.Passed {
			break
		}
	}
	return rec
}

// checkpoint returns the note that the first two aggregators sign under the log as it is.
func (w *world) checkpoint() []byte {
	w.t.Helper()
	root := must(w.log.Root(w.log.Size()))(w.t)
	a := must(SignCheckpoint(w.aggs[0], w.run, w.log.Size(), root))(w.t)
	b := must(SignCheckpoint(w.aggs[1], w.run, w.log.Size(), root))(w.t)
	return must(MergeCheckpoints(w.council, b, a))(w.t)
}

// material gathers the proof of a contribution, all but what Build adds.
func (c *contribution) material(checks ...CheckRecord) Proof {
	w := c.w
	p := Proof{Spec: must(protocol.Encode(w.spec))(w.t), Genesis: w.chain[0], Open: c.statement(protocol.KindOpen), Freeze: c.statement(protocol.KindFreeze),
		RevealSet: c.statement(protocol.KindRevealSet), Certificate: c.statement(protocol.KindCertificate), Join: w.joins[c.index], Commit: c.commit,
		Payloads: c.refs, Checks: checks, Checkpoint: w.checkpoint()}
	if c.assignment.Round > 0 {
		p.Previous = c.statements[:2]
	}
	p.TakeTrace(&protocol.Reveal{Start: c.start, StartPath: protocol.PathTo(c.leaves, 0), End: c.end, EndPath: protocol.PathTo(c.leaves, len(c.leaves)-1), Frozen: c.frozen})
	return p
}

func (c *contribution) proof(checks ...CheckRecord) *Proof {
	c.w.t.Helper()
	return must(Build(context.Background(), c.material(checks...), c.w.log))(c.w.t)
}

// options is an auditor with everything at hand.
func (w *world) options() Options {
	return Options{Run: &w.run, Blobs: w.blobs, Merger: mergeMean,
		Replayer: func(context.Context, *protocol.RunSpec, BlobSource) (Replayer, error) {
			return &toy{run: w.run, c: w.spec.Codec}, nil
		}}
}

// reread encodes and decodes a proof.
func (w *world) reread(p *Proof) *File {
	w.t.Helper()
	return must(DecodeProof(must(p.Encode())(w.t)))(w.t)
}

func failurePart(err error) string {
	var f *Failure
	if errors.As(err, &f) {
		return f.Level.String() + ": " + f.Part
	}
	return ""
}

func contains(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }

package council

import (
	"fmt"
	"math/rand/v2"

	"drystone/protocol"
)

// contribution is what a trainer made of a round.
type contribution struct {
	commit   protocol.Signed[protocol.Commit]
	start    protocol.TraceStart
	end      protocol.TraceEnd
	states   []protocol.TraceState
	payloads [][]byte
	feedback []float32
}

// salt of every payload: nothing here depends on it.
var salt = [16]byte{1}

// state is what the stand-in of training has after a segment. A replay computes the same.
func state(model protocol.Digest, id protocol.PeerID, segment int) protocol.TraceState {
	at := func(what string) protocol.Digest {
		return protocol.Hash("council-"+what, model[:], id[:], []byte{byte(segment)})
	}
	return protocol.TraceState{Step: uint32(2 * (segment + 1)), Theta: at("theta"), M: at("m"), V: at("v")}
}

// train makes a peer's contribution from the state that its Open names and its own error feedback, nil for none.
func (s *Sim) train(k protocol.Key, index int, open *protocol.SignedStatement, feedback []float32, lie func(*contribution)) contribution {
	body := must(protocol.DecodeBody[protocol.Open](&open.Statement))
	id, round := k.ID(), open.Statement.Round
	c := contribution{start: protocol.TraceStart{Model: body.Model}, feedback: make([]float32, params)}
	if feedback != nil {
		c.start.Feedback = s.keep(feedback)
		copy(c.feedback, feedback)
	}
	u := make([]float32, params)
	noise := rand.New(rand.NewPCG(uint64(index), uint64(round)))
	for i, x := range s.vectors[body.Model] {
		u[i] = x/8 + float32(noise.NormFloat64())/16
	}
	for i := range s.Spec.Codec.Shards(params) {
		lo, hi := s.Spec.Codec.Shard(params, i)
		c.payloads = append(c.payloads, must(s.codec.Encode(nil, u[lo:hi], c.feedback[lo:hi])))
	}
	steps := uint32(5 + index%4)
	for i := range int(s.Spec.Segments(steps)) {
		c.states = append(c.states, state(body.Model, id, i))
	}
	if s.codec.HasFeedback() {
		c.end.Feedback = s.keep(c.feedback)
	}
	c.end.Payload = protocol.RootOf(payloadLeaves(id, c.payloads))
	if lie != nil {
		lie(&c)
	}
	c.commit = protocol.Sign(k, protocol.Commit{Run: s.Run0, Round: round, Peer: id, Open: open.Statement.Digest(),
		Trace: protocol.RootOf(c.leaves()), Steps: steps})
	s.work[c.commit.Digest()] = c
	return c
}

func payloadLeaves(id protocol.PeerID, payloads [][]byte) []protocol.Digest {
	var leaves []protocol.Digest
	for i, p := range payloads {
		leaves = append(leaves, protocol.PayloadLeaf(id, uint32(i), p, salt))
	}
	return leaves
}

// leaves of the trace.
func (c *contribution) leaves() []protocol.Digest {
	l := []protocol.Digest{c.start.Leaf()}
	for _, st := range c.states {
		l = append(l, st.Leaf())
	}
	return append(l, c.end.Leaf())
}

// reveals are the messages that publish a frozen contribution; none if the Freeze does not hold it.
func (c *contribution) reveals(f *protocol.Freeze) []*protocol.Reveal {
	var frozen []protocol.Digest
	at := -1
	for i, x := range f.Commits {
		if x.Commit == c.commit.Digest() {
			at = i
		}
		frozen = append(frozen, protocol.FrozenLeaf(x.Commit))
	}
	if at < 0 {
		return nil
	}
	b, trace, shards := c.commit.Body, c.leaves(), payloadLeaves(c.commit.Body.Peer, c.payloads)
	var all []*protocol.Reveal
	for i, p := range c.payloads {
		all = append(all, &protocol.Reveal{Run: b.Run, Round: b.Round, Peer: b.Peer, Shard: uint32(i), Payload: p, Salt: salt,
			ShardPath: protocol.PathTo(shards, i), Start: c.start, StartPath: protocol.PathTo(trace, 0),
			End: c.end, EndPath: protocol.PathTo(trace, len(trace)-1), Frozen: protocol.PathTo(frozen, at)})
	}
	return all
}

// name is how a run's members are called in reports.
func (s *Sim) name(id protocol.PeerID) string {
	for i, a := range s.council.Members {
		if a.ID == id {
			return fmt.Sprint("aggregator ", i)
		}
	}
	for i, t := range s.Trainers {
		if t.ID() == id {
			return fmt.Sprint("trainer ", i)
		}
	}
	return id.Short()
}

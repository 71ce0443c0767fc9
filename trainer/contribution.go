package trainer

import (
	"fmt"
	"slices"

	"drystone/protocol"
)

// Contribution is one peer's finished work on an assignment, with what it takes to commit, reveal and open it. Its
// fields are read-only; it is safe for concurrent use.
type Contribution struct {
	Assignment protocol.Assignment
	Peer       protocol.PeerID
	Start      protocol.TraceStart
	States     []protocol.TraceState // after each segment, in order
	End        protocol.TraceEnd
	Losses     []float32  // training loss of each step, nats or squared error
	Payloads   [][]byte   // one per assigned shard, in their order
	Salts      [][16]byte // likewise
	After      []float32  // error feedback of all parameters left for the next round; nil for a codec without

	spec   *protocol.RunSpec
	params int
	box    box
}

// Tokens returns the training tokens that the contribution counts for: by the share of the parameters that it trained.
func (c *Contribution) Tokens() uint64 {
	return c.spec.Tokens(c.Assignment.Steps, c.params, c.Assignment.Shards)
}

// Leaves returns the leaf hashes of the trace.
func (c *Contribution) Leaves() []protocol.Digest {
	leaves := make([]protocol.Digest, 0, len(c.States)+2)
	leaves = append(leaves, c.Start.Leaf())
	for _, s := range c.States {
		leaves = append(leaves, s.Leaf())
	}
	return append(leaves, c.End.Leaf())
}

// Root returns the trace root.
func (c *Contribution) Root() protocol.Digest { return protocol.RootOf(c.Leaves()) }

// Commit returns the message that commits to the contribution, in answer to the Open statement of that digest.
func (c *Contribution) Commit(open protocol.Digest) protocol.Commit {
	return protocol.Commit{
		Run: c.Assignment.Run, Round: c.Assignment.Round, Peer: c.Peer,
		Open: open, Trace: c.Root(), Steps: c.Assignment.Steps,
	}
}

func (c *Contribution) payloadLeaves() []protocol.Digest {
	leaves := make([]protocol.Digest, len(c.Payloads))
	for i, p := range c.Payloads {
		leaves[i] = protocol.PayloadLeaf(c.Peer, uint32(protocol.ShardAt(c.Assignment.Shards, i)), p, c.Salts[i])
	}
	return leaves
}

// Reveal returns the message that reveals a shard, given the path of the commit under the Freeze's root. The error wraps
// ErrRequest if the shard is not one of those assigned.
func (c *Contribution) Reveal(shard uint32, frozen protocol.Path) (*protocol.Reveal, error) {
	place, own := protocol.PlaceOf(c.Assignment.Shards, int(shard))
	if !own || place >= len(c.Payloads) {
		return nil, fmt.Errorf("%w: shard %d is not one of the %d of this contribution", ErrRequest, shard, len(c.Payloads))
	}
	leaves := c.Leaves()
	return &protocol.Reveal{
		Run: c.Assignment.Run, Round: c.Assignment.Round, Peer: c.Peer, Shard: shard,
		Payload: c.Payloads[place], Salt: c.Salts[place], ShardPath: protocol.PathTo(c.payloadLeaves(), place),
		Start: c.Start, StartPath: protocol.PathTo(leaves, 0),
		End: c.End, EndPath: protocol.PathTo(leaves, len(leaves)-1),
		Frozen: frozen,
	}, nil
}

// box keeps a contribution's vectors under names, as bytes.
type box interface {
	put(name string, data []byte) error
	get(name string) ([]byte, error)
}

// memory is a box for contributions without a store.
type memory map[string][]byte

func (m memory) put(name string, data []byte) error {
	m[name] = slices.Clone(data)
	return nil
}

func (m memory) get(name string) ([]byte, error) {
	data, ok := m[name]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoContribution, name)
	}
	return data, nil
}

package trainer

import (
	"fmt"

	"drystone/protocol"
)

// maxOpenChunks bounds the codec chunks of one request; a run spec draws at most as many.
const maxOpenChunks = 64

// Open answers a verifier's request. The opening is large: 4 bytes per parameter and 8 per trained one, unless the run replays prefixes or the
// segment is the first. Errors: ErrRequest, or the store's.
func (c *Contribution) Open(req protocol.OpenRequest) (*protocol.Opening, error) {
	if err := c.checkRequest(req); err != nil {
		return nil, err
	}
	leaves, seg, last := c.Leaves(), int(req.Segment), len(c.States)
	o := &protocol.Opening{
		To: c.States[seg], ToPath: protocol.PathTo(leaves, seg+1),
		Final: c.States[last-1], FinalPath: protocol.PathTo(leaves, last),
	}
	if seg > 0 {
		o.From, o.FromPath = c.States[seg-1], protocol.PathTo(leaves, seg)
	}
	if seg > 0 && c.spec.Verify.Kind == "segment" {
		for _, v := range []struct {
			name string
			into *[]byte
		}{{"theta", &o.Theta}, {"m", &o.M}, {"v", &o.V}} {
			var err error
			if *v.into, err = c.box.get(stateName(v.name, seg)); err != nil {
				return nil, err
			}
		}
	}
	return o, c.openChunks(o, req.Chunks)
}

func (c *Contribution) checkRequest(req protocol.OpenRequest) error {
	a := c.Assignment
	switch {
	case req.Run != a.Run || req.Round != a.Round:
		return fmt.Errorf("%w: round %d of run %s, this is round %d of %s", ErrRequest, req.Round, req.Run.Short(), a.Round, a.Run.Short())
	case int64(req.Segment) >= int64(len(c.States)):
		return fmt.Errorf("%w: segment %d of %d", ErrRequest, req.Segment, len(c.States))
	case len(req.Chunks) > maxOpenChunks:
		return fmt.Errorf("%w: %d chunks, limit %d", ErrRequest, len(req.Chunks), maxOpenChunks)
	}
	for i, n := range req.Chunks {
		if i > 0 && n <= req.Chunks[i-1] {
			return fmt.Errorf("%w: chunk %d after %d", ErrRequest, n, req.Chunks[i-1])
		}
		if int64(n) >= int64(chunksOf(c.params)) {
			return fmt.Errorf("%w: chunk %d of %d", ErrRequest, n, chunksOf(c.params))
		}
	}
	return nil
}

// openChunks opens the final theta and the error feedback at the given chunks.
func (c *Contribution) openChunks(o *protocol.Opening, chunks []uint32) error {
	o.Chunks = []protocol.ChunkOpening{}
	if len(chunks) == 0 {
		return nil
	}
	for _, n := range chunks {
		o.Chunks = append(o.Chunks, protocol.ChunkOpening{Index: n})
	}
	open := func(name string, part func(*protocol.ChunkOpening) (*[]byte, *protocol.Path)) error {
		data, err := c.box.get(name)
		if err != nil {
			return err
		}
		if len(data) != 4*c.params {
			return fmt.Errorf("%w: %s has %d bytes, want %d", ErrCorrupt, name, len(data), 4*c.params)
		}
		leaves := protocol.DataLeaves(data)
		for i := range o.Chunks {
			n := int(o.Chunks[i].Index)
			into, path := part(&o.Chunks[i])
			*into = data[n*protocol.LeafSize : min((n+1)*protocol.LeafSize, len(data))]
			*path = protocol.PathTo(leaves, n)
		}
		return nil
	}
	err := open(stateName("theta", len(c.States)), func(c *protocol.ChunkOpening) (*[]byte, *protocol.Path) { return &c.Theta, &c.ThetaPath })
	if err == nil && !c.Start.Feedback.IsZero() {
		err = open("before", func(c *protocol.ChunkOpening) (*[]byte, *protocol.Path) { return &c.Before, &c.BeforePath })
	}
	if err == nil && !c.End.Feedback.IsZero() {
		err = open("after", func(c *protocol.ChunkOpening) (*[]byte, *protocol.Path) { return &c.After, &c.AfterPath })
	}
	return err
}

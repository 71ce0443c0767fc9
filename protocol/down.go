package protocol

import "fmt"

// ShardUpdate names the payload that takes a shard from theta_r to theta_{r+1} on the way down. Both fields are zero for a
// shard that does not change.
type ShardUpdate struct {
	_    struct{} `cbor:",toarray"`
	Root Digest   // MerkleRoot of the payload
	Size uint32   // bytes
}

// UpdateOf names a payload; an empty one is none.
func UpdateOf(payload []byte) ShardUpdate {
	if len(payload) == 0 {
		return ShardUpdate{}
	}
	return ShardUpdate{Root: MerkleRoot(payload), Size: uint32(len(payload))}
}

// Check holds an update against the settings of the way down, of which the zero ones admit the zero update only.
func (u ShardUpdate) Check(c *CodecSpec) error {
	d, bound := c.Downward(), 0
	if c.Down != "" {
		bound = d.PayloadBound()
	}
	if u.Size > uint32(bound) || (u.Size == 0) != u.Root.IsZero() {
		return fmt.Errorf("update %s of %d bytes on the way down, want at most %d", u.Root.Short(), u.Size, bound)
	}
	return nil
}

// NoUpdates returns what a Certificate lists for a model that does not change: the zero update for every shard, or nothing
// in runs without a way down.
func (c *CodecSpec) NoUpdates(params int) []ShardUpdate {
	if c.Down == "" {
		return nil
	}
	return make([]ShardUpdate, c.Shards(params))
}

// CheckUpdates checks that a Certificate lists one possible update for each shard of a model of params parameters, or none
// in runs without a way down.
func (c *Certificate) CheckUpdates(s *CodecSpec, params int) error {
	if want := len(s.NoUpdates(params)); len(c.Updates) != want {
		return fmt.Errorf("%d updates on the way down, want %d", len(c.Updates), want)
	}
	for k, u := range c.Updates {
		if err := u.Check(s); err != nil {
			return fmt.Errorf("shard %d: %w", k, err)
		}
	}
	return nil
}

// OuterState returns the number of float32 of the outer state of a model of params parameters: the optimiser's, and the
// error feedback of the way down if there is one. Its root is the OuterRoot. It begins as zeros.
func (s *RunSpec) OuterState(params int) int {
	n := s.Outer.State(params)
	if s.Codec.Down != "" {
		n += params
	}
	return n
}

// OuterShard returns where a shard's part of the outer state lies, in float32, for a model of params parameters: with a way
// down the shard's optimiser state, then its error feedback. Without one that of fedadam and fedyogi does not lie together.
func (s *RunSpec) OuterShard(params, shard int) (lo, hi int) {
	width := s.OuterState(1)
	lo, hi = s.Codec.Shard(params, shard)
	return width * lo, width * hi
}

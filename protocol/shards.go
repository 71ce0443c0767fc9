package protocol

import (
	"math/bits"
	"slices"
)

// AssignShards returns the shards, ascending, that the peer at place index of a roster trains in a round of a run of the
// given number of shards; nil means all of them. capacity is Open.Capacity: how many shards each rostered peer can train,
// 0 or at least shards for all, and empty if everyone trains all.
//
// Peers that train a part are dealt to in the order of the roster: each takes as many shards as it can, beginning where
// the one before ended, and after the last shard comes the first again. So within a round no shard has more than one of
// them more than another. Round r begins at shard r*s mod shards, s the smallest capacity among them: no window moves
// further than it is wide, so with one roster every peer trains every shard within ceil(shards/s) rounds.
func AssignShards(shards int, round uint32, capacity []uint32, index int) []uint32 {
	if index < 0 || index >= len(capacity) {
		return nil
	}
	return ShardSpans(shards, round, capacity)[index].List()
}

// ShardSpan is an assignment as AssignShards deals it: Size shards from First on, after the last of all Shards the first
// again. The zero value stands for all.
type ShardSpan struct{ First, Size, Shards uint32 }

// ShardSpans returns the span of every place of a roster, of which AssignShards gives the list, in time linear in their
// number.
func ShardSpans(shards int, round uint32, capacity []uint32) []ShardSpan {
	spans := make([]ShardSpan, len(capacity))
	stride, before := uint32(0), uint64(0)
	for i, c := range capacity {
		if c == 0 || uint64(c) >= uint64(shards) {
			continue
		}
		spans[i] = ShardSpan{First: uint32(before % uint64(shards)), Size: c, Shards: uint32(shards)}
		if before += uint64(c); stride == 0 || c < stride {
			stride = c
		}
	}
	shift := uint64(round) * uint64(stride) % uint64(max(1, shards))
	for i := range spans {
		if s := &spans[i]; s.Size > 0 {
			s.First = uint32((uint64(s.First) + shift) % uint64(shards))
		}
	}
	return spans
}

// Has reports whether a shard is in the span, if there is one of that number at all.
func (s ShardSpan) Has(shard int) bool {
	from := int64(shard) - int64(s.First)
	if from < 0 {
		from += int64(s.Shards)
	}
	return s.Size == 0 || shard >= 0 && int64(shard) < int64(s.Shards) && from < int64(s.Size)
}

// List returns the shards of the span, ascending; nil for all.
func (s ShardSpan) List() []uint32 {
	if s.Size == 0 {
		return nil
	}
	own := make([]uint32, s.Size)
	for i := range own {
		own[i] = uint32((uint64(s.First) + uint64(i)) % uint64(s.Shards))
	}
	slices.Sort(own)
	return own
}

// Shards returns the shards that the peer at place index of the roster trains in the round that o opens, of a model of
// params parameters; nil means all.
func (o *Open) Shards(c *CodecSpec, params int, round uint32, index int) []uint32 {
	return AssignShards(c.Shards(params), round, o.Capacity, index)
}

// ShardAt returns the i-th shard of an assignment, whose shards are as in Assignment.Shards.
func ShardAt(shards []uint32, i int) int {
	if len(shards) == 0 {
		return i
	}
	return int(shards[i])
}

// PlaceOf returns the place of a shard in an assignment; false if it is not assigned. Of an assignment to all shards it
// says yes to any number.
func PlaceOf(shards []uint32, shard int) (int, bool) {
	if len(shards) == 0 {
		return shard, true
	}
	return slices.BinarySearchFunc(shards, shard, func(s uint32, want int) int { return int(s) - want })
}

// Owed returns how many shards an assignment has, for a model of params parameters.
func (c *CodecSpec) Owed(params int, shards []uint32) int {
	if len(shards) == 0 {
		return c.Shards(params)
	}
	return len(shards)
}

// Trained returns how many of params parameters lie in the shards of an assignment.
func (c *CodecSpec) Trained(params int, shards []uint32) int {
	if len(shards) == 0 {
		return params
	}
	n := 0
	for _, s := range shards {
		lo, hi := c.Shard(params, int(s))
		n += hi - lo
	}
	return n
}

// Tokens returns the training tokens that a contribution of the given steps and shards counts for: those of its steps by
// the share of the parameters that it trained, rounded down.
func (s *RunSpec) Tokens(steps uint32, params int, shards []uint32) uint64 {
	tokens := uint64(steps) * s.TokensPerStep()
	if len(shards) == 0 {
		return tokens
	}
	hi, lo := bits.Mul64(tokens, uint64(s.Codec.Trained(params, shards)))
	if hi >= uint64(params) {
		return tokens // only for shards that no assignment has
	}
	share, _ := bits.Div64(hi, lo, uint64(params))
	return share
}

// chunkParams is the number of parameters of a codec chunk, which is one leaf of LeafSize bytes.
const chunkParams = LeafSize / 4

// CheckChunks returns the codec chunks, distinct and ascending, that a draw's seed chooses of a peer's contribution with
// the given shards: VerifySpec.Chunks of those that it trains. If it leaves shards out and the codec has error feedback,
// as many again are chosen among theirs, where the check is that nothing changed: what is carried over there enters a
// later round's payload.
func (s *RunSpec) CheckChunks(seed Digest, peer PeerID, params int, shards []uint32) []uint32 {
	if len(shards) == 0 {
		return DrawChunks(seed, peer, s.Verify.Chunks, uint32((params+chunkParams-1)/chunkParams))
	}
	chosen := s.Codec.drawFrom(seed, peer, "chunk", s.Verify.Chunks, params, shards)
	if s.Codec.HasFeedback() {
		var others []uint32
		for i := range s.Codec.Shards(params) {
			if _, own := PlaceOf(shards, i); !own {
				others = append(others, uint32(i))
			}
		}
		chosen = append(chosen, s.Codec.drawFrom(seed, peer, "carried", s.Verify.Chunks, params, others)...)
		slices.Sort(chosen)
	}
	return chosen
}

// drawFrom draws n codec chunks of the given shards, ascending. All shards but the last of the model have as many chunks,
// so a number below their sum names one.
func (c *CodecSpec) drawFrom(seed Digest, peer PeerID, what string, n uint32, params int, shards []uint32) []uint32 {
	per, total := uint32(c.ShardParams/chunkParams), uint32(0)
	for _, s := range shards {
		lo, hi := c.Shard(params, int(s))
		total += uint32((hi - lo + chunkParams - 1) / chunkParams)
	}
	chosen := drawDistinct(seed, peer, what, n, total)
	for i, x := range chosen {
		chosen[i] = shards[x/per]*per + x%per
	}
	return chosen
}

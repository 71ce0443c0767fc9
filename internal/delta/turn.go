package delta

import (
	"encoding/binary"

	"drystone/protocol"
)

// Round returns the codec of one round of a run, from which Shard makes that of each shard. The seed of the round's masks is
// the first 8 bytes, little-endian, of protocol.Hash("mask", run, round as 32 bits big-endian).
func (c Codec) Round(run protocol.Digest, round uint32) Codec {
	c.round = round
	if c.form == masked {
		d := protocol.Hash("mask", run[:], binary.BigEndian.AppendUint32(nil, round))
		c.seed, c.seeded = binary.LittleEndian.Uint64(d[:]), true
	}
	return c
}

// Shard returns the codec of a shard in the round that Round set: with the shard's mask, and silent if the spec staggers
// shards and it is not this one's turn. With other specs the codec comes back as it is.
func (c Codec) Shard(k int) Codec {
	if c.stagger > 1 && uint32(k)%c.stagger != c.round%c.stagger {
		c.form, c.lengthBytes = silent, 0
	}
	c.first = k * c.shardChunks
	return c
}

// At returns the codec with which EncodeChunk encodes codec chunk i of the model in the round that Round set.
func (c Codec) At(i int) Codec {
	c = c.Shard(i / max(c.shardChunks, 1))
	c.first = i
	return c
}

// Silent reports whether it is not the turn of the codec's shard: payloads are empty, and what they would hold stays in the
// error feedback.
func (c Codec) Silent() bool { return c.form == silent }

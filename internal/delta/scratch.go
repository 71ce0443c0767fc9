package delta

import (
	"math/rand/v2"
	"sync"
)

// scratch is the memory of one encoding or decoding at a time.
type scratch struct {
	at    [ChunkParams]uint16  // indices of chosen entries, ascending
	value [ChunkParams]float32 // and their values, afterwards what is left of them
	level [ChunkParams]byte    // and their levels, two's complement
	marks [ChunkParams / 64]uint64
	bits  [maxChunk + slack]byte // a chunk on the wire, with room to read past its end
	rng   rand.ChaCha8
}

// maxChunk is more than the bytes of any chunk but a dense one: the widest has 4096 entries of 12 and 4 bits.
const maxChunk = 2 + 2*ChunkParams

// slack covers what a bitReader may read behind the last chunk.
const slack = 32

var scratches = sync.Pool{New: func() any { return new(scratch) }}

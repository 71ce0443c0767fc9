package delta

import (
	"encoding/binary"
	"math/bits"
)

// maskTag fills up the key of the generator that draws a mask.
const maskTag = "delta mask rev 1"

// WithMask returns the codec for payloads whose mask the seed draws and whose first chunk is that one of the model. A
// codec without mask comes back as it is.
func (c Codec) WithMask(seed uint64, chunk int) Codec {
	if c.form == masked {
		c.seed, c.first, c.seeded = seed, chunk, true
	}
	return c
}

// mask sets s.at to the positions of chunk i of a payload, ascending: min(topK, params) of them. The draw is Floyd's
// (Bentley and Floyd 1987): for j from params-n to params-1, t = (32 bits of the generator * (j+1)) / 2^32 joins the set,
// or j if t is in it.
func (c Codec) mask(s *scratch, i, params int) []uint16 {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], c.seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(c.first+i))
	copy(key[16:], maskTag)
	s.rng.Seed(key)
	n := min(c.topK, params)
	clear(s.marks[:])
	for j := params - n; j < params; j++ {
		t := int(s.rng.Uint64() & (1<<32 - 1) * uint64(j+1) >> 32)
		if s.marks[t/64]>>(t%64)&1 == 1 {
			t = j
		}
		s.marks[t/64] |= 1 << (t % 64)
	}
	at := s.at[:0]
	for w, word := range s.marks {
		for ; word != 0; word &= word - 1 {
			at = append(at, uint16(w*64+bits.TrailingZeros64(word)))
		}
	}
	return at
}

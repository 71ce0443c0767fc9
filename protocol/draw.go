package protocol

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// DrawMessage is what a verifier signs with BLS to draw its checks of a round: it is fixed only after every
// contribution is, so no trainer can know the draw in time.
func DrawMessage(run Digest, round uint32, frozen, revealSet Digest) []byte {
	d := Hash(DomainDraw, run[:], binary.BigEndian.AppendUint32(nil, round), frozen[:], revealSet[:])
	return d[:]
}

// Seed returns the randomness of a draw.
func (d *Draw) Seed() Digest { return Hash(DomainSeed, d.BLS[:]) }

// DrawSegment returns the segment, 0 to segments-1, that a draw's seed chooses of a peer's contribution. The bias of
// reducing 64 bits is below 2^-50 for the at most 4096 segments that a spec allows.
func DrawSegment(seed Digest, peer PeerID, segments uint32) uint32 {
	return uint32(drawWord(seed, peer, "segment", 0) % uint64(segments))
}

// DrawChunks returns n codec chunks, distinct and ascending, of the given total that a draw's seed chooses of a peer's
// contribution; all of them if n is at least total.
func DrawChunks(seed Digest, peer PeerID, n, total uint32) []uint32 {
	return drawDistinct(seed, peer, "chunk", n, total)
}

// drawDistinct draws n distinct numbers below total, ascending; all of them if n is at least total.
func drawDistinct(seed Digest, peer PeerID, what string, n, total uint32) []uint32 {
	if n >= total {
		all := make([]uint32, total)
		for i := range all {
			all[i] = uint32(i)
		}
		return all
	}
	chosen := make([]uint32, 0, n)
	for i := uint32(0); uint32(len(chosen)) < n; i++ {
		c := uint32(drawWord(seed, peer, what, i) % uint64(total))
		if at, dup := slices.BinarySearch(chosen, c); !dup {
			chosen = slices.Insert(chosen, at, c)
		}
	}
	return chosen
}

func drawWord(seed Digest, peer PeerID, what string, i uint32) uint64 {
	d := Hash(DomainSeed, seed[:], peer[:], []byte(what), binary.BigEndian.AppendUint32(nil, i))
	return binary.BigEndian.Uint64(d[:])
}

// CheckOrder returns the verifiers of a peer's contribution in the order in which the duty falls on them: the first
// VerifySpec.Checks of them check it, and one that is late is passed over for the next. It is rendezvous hashing under
// the RevealSet's digest. A peer never checks itself.
func CheckOrder(revealSet Digest, peer PeerID, verifiers []PeerID) []PeerID {
	type ranked struct {
		rank Digest
		id   PeerID
	}
	order := make([]ranked, 0, len(verifiers))
	for _, v := range verifiers {
		if v != peer {
			order = append(order, ranked{Hash(DomainSeed, revealSet[:], peer[:], v[:]), v})
		}
	}
	slices.SortFunc(order, func(a, b ranked) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	ids := make([]PeerID, len(order))
	for i, r := range order {
		ids[i] = r.id
	}
	return ids
}

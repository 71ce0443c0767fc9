package verify

import (
	"fmt"

	"drystone/protocol"
)

// ChunkParams is the number of parameters of a codec chunk, which is one Merkle leaf of the vectors it is cut from.
const ChunkParams = protocol.LeafSize / 4

// NewDraw signs a verifier's draw of a round. frozen is Freeze.Root, revealSet the digest of the RevealSet statement.
func NewDraw(k protocol.Key, b BLSKey, run protocol.Digest, round uint32, frozen, revealSet protocol.Digest) (protocol.Signed[protocol.Draw], error) {
	sig, err := b.Sign(protocol.DrawMessage(run, round, frozen, revealSet))
	if err != nil {
		return protocol.Signed[protocol.Draw]{}, fmt.Errorf("draw of round %d: %w", round, err)
	}
	return protocol.Sign(k, protocol.Draw{Run: run, Round: round, Verifier: k.ID(), BLS: sig}), nil
}

// VerifyDraw checks that a draw is the one that its verifier, a member of the council, must make of this round.
func VerifyDraw(d *protocol.Signed[protocol.Draw], c *protocol.Council, round uint32, frozen, revealSet protocol.Digest) error {
	m, ok := c.Member(d.Body.Verifier)
	if !ok {
		return fmt.Errorf("draw by %s, who is no aggregator of the run", d.Body.Verifier.Short())
	}
	if d.Body.Run != c.Run || d.Body.Round != round {
		return fmt.Errorf("draw is for run %s round %d, want run %s round %d", d.Body.Run.Short(), d.Body.Round, c.Run.Short(), round)
	}
	if err := d.Verify(); err != nil {
		return err
	}
	if err := VerifyBLS(m.BLS, protocol.DrawMessage(c.Run, round, frozen, revealSet), d.Body.BLS); err != nil {
		return fmt.Errorf("draw of %s: %w", m.ID.Short(), err)
	}
	return nil
}

// Challenge is what a draw asks of one contribution.
type Challenge struct {
	Segment uint32   // 0 to S-1
	Chunks  []uint32 // codec chunks of the whole vector, distinct and ascending
}

// ChallengeOf derives what a draw asks of a peer's contribution of the given steps and shards (empty for all), for a model
// of params parameters.
func ChallengeOf(s *protocol.RunSpec, params int, d *protocol.Draw, peer protocol.PeerID, steps uint32, shards []uint32) Challenge {
	seed := d.Seed()
	return Challenge{
		Segment: protocol.DrawSegment(seed, peer, max(s.Segments(steps), 1)),
		Chunks:  s.CheckChunks(seed, peer, params, shards),
	}
}

// Chunks returns the number of codec chunks of a model.
func Chunks(params int) uint32 { return uint32((params + ChunkParams - 1) / ChunkParams) }

// SegmentSteps returns the inner steps, from excluded and to included, of a segment of a contribution.
func SegmentSteps(s *protocol.RunSpec, steps, segment uint32) (from, to uint32) {
	return min(segment*s.Train.Segment, steps), min((segment+1)*s.Train.Segment, steps)
}

package protocol

import (
	"errors"
	"fmt"
)

// Contradiction is evidence against an aggregator: its signatures under two statements for one step of the chain, which no
// honest one gives. It proves itself, to anybody.
type Contradiction struct {
	_         struct{} `cbor:",toarray"`
	Signer    PeerID
	First     Statement
	FirstSig  Signature
	Second    Statement
	SecondSig Signature
}

// ErrNoContradiction means that two statements can both be signed by an honest aggregator.
var ErrNoContradiction = errors.New("no contradiction")

// Verify checks that both statements are of this run, for one step, different, and signed by the signer. Whether the signer is
// an aggregator is the caller's to know.
func (c *Contradiction) Verify(run Digest) error {
	if c.First.Run != run || c.Second.Run != run || !c.First.Rivals(&c.Second) {
		return fmt.Errorf("%s of round %d and %s of round %d: %w", c.First.Kind, c.First.Round, c.Second.Kind, c.Second.Round, ErrNoContradiction)
	}
	if err := c.Signer.VerifyDigest(c.First.Digest(), c.FirstSig); err != nil {
		return fmt.Errorf("contradiction: %w", err)
	}
	if err := c.Signer.VerifyDigest(c.Second.Digest(), c.SecondSig); err != nil {
		return fmt.Errorf("contradiction: %w", err)
	}
	return nil
}

// Rivals reports whether two different statements claim one step of a chain: both follow the same statement, or both are the
// same kind of one round, of which there is but one, Councils excepted. Proposals of a Genesis are no rivals: before one is
// final the founder may ask again.
func (s *Statement) Rivals(other *Statement) bool {
	if s.Run != other.Run || s.Kind == KindGenesis || other.Kind == KindGenesis || s.Digest() == other.Digest() {
		return false
	}
	return s.Prev == other.Prev || s.Kind == other.Kind && s.Round == other.Round && s.Kind != KindCouncil
}

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

// Doubled is evidence against an aggregator: two different results that it signed for one shard of a round. It proves itself,
// to anybody: an honest aggregator's results follow from the RevealSet that both name.
type Doubled[B shardWord] struct {
	_      struct{} `cbor:",toarray"`
	First  Signed[B]
	Second Signed[B]
}

// shardWord is what an aggregator says once of a shard after a RevealSet.
type shardWord interface {
	body
	place() shardPlace
}

type shardPlace struct {
	run, revealSet Digest
	shard          uint32
	by             PeerID
}

func (p Partial) place() shardPlace { return shardPlace{p.Run, p.RevealSet, p.Shard, p.Aggregator} }
func (c ShardCertificate) place() shardPlace {
	return shardPlace{c.Run, c.RevealSet, c.Shard, c.Aggregator}
}

// Verify checks that both are of this run and for one shard, different, and signed by the same aggregator. Whether it was one
// then is the caller's to know.
func (d *Doubled[B]) Verify(run Digest) error {
	first, second := d.First.Body.place(), d.Second.Body.place()
	if first.run != run || first != second || d.First.Digest() == d.Second.Digest() {
		return fmt.Errorf("results of %s and %s for shards %d and %d: %w", first.by.Short(), second.by.Short(), first.shard, second.shard, ErrNoContradiction)
	}
	if err := d.First.Verify(); err != nil {
		return fmt.Errorf("contradiction: %w", err)
	}
	if err := d.Second.Verify(); err != nil {
		return fmt.Errorf("contradiction: %w", err)
	}
	return nil
}

// DoubleSettlement is evidence against an aggregator: its EIP-712 signatures under two settlements of one epoch. Package
// ledger/chain has the digest that they are over.
type DoubleSettlement struct {
	_         struct{} `cbor:",toarray"`
	Signer    PeerID
	First     Settlement
	FirstSig  EVMSignature
	Second    Settlement
	SecondSig EVMSignature
}

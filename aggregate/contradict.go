package aggregate

import (
	"slices"

	"drystone/protocol"
)

// An aggregator signs one message for each place: a step of the chain, the shards of a round, an epoch. Of two the first counts,
// and both become a leaf of the log, once for each aggregator and place. Those that were told stay in the state for as long as
// a second message for the place is looked at, and no longer: what is older is refused as too late.

// told is a contradiction that the log has.
type told struct {
	_      struct{} `cbor:",toarray"`
	Signer protocol.PeerID
	Place  uint64
}

// shardPlace is the place of all results for shards of a round, among those of its statements.
func shardPlace(round uint32) uint64 { return uint64(round)*placesOfRound + 6 }

// epochPlace is the place of the settlement of an epoch, beyond those of the chain.
func epochPlace(epoch uint64) uint64 { return epoch | epochPlaces }

const (
	placesOfRound = 8
	epochPlaces   = 1 << 63
)

func (m *Machine) wasTold(signer protocol.PeerID, place uint64) bool {
	return slices.Contains(m.s.Told, told{Signer: signer, Place: place})
}

// tell records a contradiction and makes it a leaf.
func (m *Machine) tell(e Evidence, place uint64, t RecordType, msg any) {
	m.s.Told = append(m.s.Told, told{Signer: e.Who, Place: place})
	m.evidence(e)
	m.appendLeaf(t, msg)
}

// forgetTold drops what is older than the live rounds and the last settlement.
func (m *Machine) forgetTold() {
	oldest := m.s.Round
	if len(m.s.Rounds) > 0 {
		oldest = m.s.Rounds[0].Number
	}
	m.s.Told = slices.DeleteFunc(m.s.Told, func(t told) bool {
		if t.Place >= epochPlaces {
			return t.Place < epochPlace(m.s.Pay.Settled)
		}
		return t.Place < uint64(oldest)*placesOfRound
	})
}

// maxContradiction bounds the bodies of two statements that become one leaf, in bytes; no honest statement is half as large.
const maxContradiction = protocol.MaxMessage - 4<<10

// contradicts takes a signature under another statement than the one of this step. If its signer signed that one too, both are
// recorded as evidence; the first signature counts. Otherwise it is refused: what a lone
// signature under a false statement proves, the log shows already.
func (m *Machine) contradicts(kind EvidenceKind, b *ballot, c *Cosign, d protocol.Digest) error {
	st, signer := &c.Statement, c.Cosignature.Signer
	at := place(&b.Statement)
	i, signed := search(b.Sigs, signer, cosignKey)
	if !signed || !b.Statement.Rivals(st) || m.wasTold(signer, at) {
		return refuse(ErrDiffers, "cosign by %s of %s %s of round %d, the log gives another", signer.Short(), st.Kind, d.Short(), st.Round)
	}
	if len(b.Statement.Body)+len(st.Body) > maxContradiction {
		return refuse(ErrInvalid, "cosign of a %s of round %d of %d bytes", st.Kind, st.Round, len(st.Body))
	}
	if err := signer.VerifyDigest(d, c.Cosignature.Sig); err != nil {
		return refuse(ErrInvalid, "cosign of the %s of round %d: %v", st.Kind, st.Round, err)
	}
	e := Evidence{Kind: kind, Round: st.Round, Who: signer, First: b.Statement.Digest(), Second: d}
	m.tell(e, at, LeafEvidence, &protocol.Contradiction{Signer: signer, First: b.Statement, FirstSig: b.Sigs[i].Sig, Second: *st, SecondSig: c.Cosignature.Sig})
	return nil
}

// again refuses a second message of an aggregator about a shard; one that differs from the first is evidence, once a round.
// both is the leaf of type t that holds the two.
func (m *Machine) again(r *round, by protocol.PeerID, first, second protocol.Digest, verify func() error, t RecordType, both any) error {
	switch {
	case first == second:
		return refuse(ErrDuplicate, "result of %s for a shard of round %d", by.Short(), r.Number)
	case m.wasTold(by, shardPlace(r.Number)):
		return refuse(ErrDiffers, "another result of %s for a shard of round %d", by.Short(), r.Number)
	}
	if err := verify(); err != nil {
		return refuse(ErrInvalid, "%v", err)
	}
	m.tell(Evidence{Kind: EvidenceDoubleShard, Round: r.Number, Who: by, First: first, Second: second}, shardPlace(r.Number), t, both)
	return nil
}

// settlesAgain judges a settlement by an aggregator that signed another one of the epoch.
func (m *Machine) settlesAgain(first *protocol.Settlement, sig protocol.EVMSignature, s *Settle) error {
	epoch := s.Settlement.Epoch
	if *first == s.Settlement || m.wasTold(s.Signer, epochPlace(epoch)) {
		return refuse(ErrDiffers, "another settlement of epoch %d by %s", epoch, s.Signer.Short())
	}
	if err := m.cfg.VerifySettlement(s.Settlement, s.Payouts, s.Signer, s.Sig); err != nil {
		return refuse(ErrInvalid, "settlement of epoch %d by %s: %v", epoch, s.Signer.Short(), err)
	}
	last := uint32(min(epoch*uint64(m.cfg.Spec.Payout.EpochRounds), uint64(m.cfg.Spec.Train.Rounds)) - 1)
	e := Evidence{Kind: EvidenceDoubleSettlement, Round: last, Who: s.Signer, First: first.PayoutRoot, Second: s.Settlement.PayoutRoot}
	m.tell(e, epochPlace(epoch), LeafTwoPayouts, &protocol.DoubleSettlement{Signer: s.Signer, First: *first, FirstSig: sig, Second: s.Settlement, SecondSig: s.Sig})
	return nil
}

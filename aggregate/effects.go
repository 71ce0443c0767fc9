package aggregate

import "drystone/protocol"

// Effects are what one accepted record brought about, for the node to publish and store. They hold no reference into the
// machine.
type Effects struct {
	Leaves      [][]byte                   // appended to the transparency log, in order; DecodeRecord reads them
	FirstLeaf   uint64                     // index of Leaves[0] in the log
	Entered     []Phase                    // phases that began, in order; the last is the present one
	Final       []protocol.SignedStatement // statements that just reached their quorum
	Settled     []SettledEpoch             // epochs that just reached their quorum
	Rotated     []Rotated                  // rotations that just reached their quorum
	Checkpoints []CosignedCheckpoint       // checkpoints that just reached their quorum
	Faults      []Fault                    // aggregators that just failed a duty
	Evidence    []Evidence                 // contradictions that just came to light
	Convicted   []Conviction               // contributions that were just refuted
}

// SettledEpoch is a settlement that t aggregators signed.
type SettledEpoch struct {
	_          struct{} `cbor:",toarray"`
	Settlement protocol.Settlement
	Payouts    []protocol.Payout     // cumulative, ascending by account
	Sigs       []SettlementSignature // ascending by signer
}

// Rotated is a rotation of the contract's signers that t aggregators of the set before signed. The contract takes them in
// order of Sequence, and Epoch must be settled there first: its signatures mean nothing to the new signers.
type Rotated struct {
	_        struct{} `cbor:",toarray"`
	Rotation protocol.Rotation
	Epoch    uint64                // last settled epoch when the council changed, 0 for none
	Sigs     []SettlementSignature // ascending by signer
}

// SettlementSignature is one aggregator's signature over the EIP-712 digest of a settlement or rotation.
type SettlementSignature struct {
	_      struct{} `cbor:",toarray"`
	Signer protocol.PeerID
	Sig    protocol.EVMSignature
}

// CosignedCheckpoint is a size and root of the transparency log that t aggregators cosigned, each in a note of its own.
type CosignedCheckpoint struct {
	_     struct{} `cbor:",toarray"`
	Size  uint64
	Root  protocol.Digest
	Notes []SignedNote // ascending by signer
}

// SignedNote is one aggregator's note.
type SignedNote struct {
	_      struct{} `cbor:",toarray"`
	Signer protocol.PeerID
	Note   []byte
}

// Work is one contribution that stands: what it trained, and which account earns it.
type Work struct {
	_       struct{} `cbor:",toarray"`
	Round   uint32
	Peer    protocol.PeerID
	Account protocol.Address // of the peer's latest Join when the RevealSet became final
	Tokens  uint64           // protocol.RunSpec.Tokens of committed steps and assigned shards
}

// FaultKind says which duty an aggregator failed.
type FaultKind uint8

// Kinds of faults.
const (
	FaultLateCheck   FaultKind = 1 // no draw or verdict in time; the duty passed on
	FaultLateConfirm FaultKind = 2 // no confirming verdict in time
	FaultOutvoted    FaultKind = 3 // its verdict was contradicted by the quorum
	FaultLateShard   FaultKind = 4 // did not attest to, sum or merge a shard that it owns in time; the shard passed on
)

// String returns the fault in words.
func (k FaultKind) String() string {
	switch k {
	case FaultLateCheck:
		return "late check"
	case FaultLateConfirm:
		return "late confirmation"
	case FaultOutvoted:
		return "outvoted verdict"
	case FaultLateShard:
		return "late shard"
	}
	return "unknown"
}

// Fault is one failed duty of an aggregator.
type Fault struct {
	_          struct{} `cbor:",toarray"`
	Kind       FaultKind
	Aggregator protocol.PeerID
	Round      uint32
	Peer       protocol.PeerID // whose contribution was to be checked; zero for a late shard
}

// EvidenceKind says what a contradiction is.
type EvidenceKind uint8

// Kinds of evidence.
const (
	EvidenceDoubleCommit      EvidenceKind = 1 // a peer signed two commits of one round; the first counts
	EvidenceDoubleCertificate EvidenceKind = 2 // an aggregator signed two Certificates of one round; the first counts
	EvidenceUndecided         EvidenceKind = 3 // a failed check was neither confirmed nor contradicted in time; the contribution stands
	EvidenceUnchecked         EvidenceKind = 4 // every verifier of a contribution was late
	EvidenceDoubleStatement   EvidenceKind = 5 // an aggregator signed another statement than the one that it signed before
	EvidenceDoubleShard       EvidenceKind = 6 // an aggregator signed two results for one shard of a round; the first counts
	EvidenceDoubleSettlement  EvidenceKind = 7 // an aggregator signed two settlements of one epoch; the first counts
	EvidenceWithheld          EvidenceKind = 8 // a contributor opened nothing in time, for the first time; the contribution is not paid
)

// String returns the kind in words.
func (k EvidenceKind) String() string {
	switch k {
	case EvidenceDoubleCommit:
		return "double commit"
	case EvidenceDoubleCertificate:
		return "double certificate"
	case EvidenceUndecided:
		return "undecided check"
	case EvidenceDoubleStatement:
		return "double statement"
	case EvidenceUnchecked:
		return "unchecked contribution"
	case EvidenceDoubleShard:
		return "double shard certificate"
	case EvidenceDoubleSettlement:
		return "double settlement"
	case EvidenceWithheld:
		return "opening withheld"
	}
	return "unknown"
}

// Evidence is a contradiction, or a gap, that the log shows.
type Evidence struct {
	_      struct{} `cbor:",toarray"`
	Kind   EvidenceKind
	Round  uint32
	Who    protocol.PeerID // who contradicted itself; the contributor of an undecided, unchecked or withheld contribution
	First  protocol.Digest // of the message that counts; zero if there is none
	Second protocol.Digest // of the other
}

// Conviction is a refuted contribution: t verifiers found the same segment false.
type Conviction struct {
	_       struct{} `cbor:",toarray"`
	Round   uint32
	Peer    protocol.PeerID
	Drawer  protocol.PeerID
	Segment uint32
}

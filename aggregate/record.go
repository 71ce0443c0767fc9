package aggregate

import (
	"fmt"

	"drystone/protocol"
)

// MaxRecord bounds an encoded record in bytes: the largest message of the protocol and its envelope.
const MaxRecord = protocol.MaxMessage + 64

// RecordType says what a record or a leaf of the transparency log holds.
type RecordType uint8

// Types of records, in the order in which a run first uses them. Leaves of the transparency log use the same envelope
// and numbers; those from 32 on exist as leaves only.
const (
	RecordGenesis    RecordType = 1  // protocol.SignedStatement; the first record
	RecordTick       RecordType = 2  // Tick
	RecordJoin       RecordType = 3  // protocol.Signed[protocol.Join]; a leaf
	RecordLeave      RecordType = 4  // protocol.Signed[protocol.Leave]; a leaf
	RecordCommit     RecordType = 5  // protocol.Signed[protocol.Commit]; a leaf
	RecordCosign     RecordType = 6  // Cosign
	RecordAttest     RecordType = 7  // protocol.Signed[protocol.Attest]
	RecordDraw       RecordType = 8  // protocol.Signed[protocol.Draw]; a leaf
	RecordVerdict    RecordType = 9  // protocol.Signed[protocol.Verdict]; a leaf
	RecordSettle     RecordType = 10 // Settle
	RecordCheckpoint RecordType = 11 // Checkpoint
	RecordControl    RecordType = 12 // protocol.Signed[protocol.Control]; a leaf
	RecordRotate     RecordType = 13 // Rotate
	RecordPartial    RecordType = 14 // Partial
	RecordShard      RecordType = 15 // protocol.Signed[protocol.ShardCertificate]
	LeafStatement    RecordType = 32 // protocol.SignedStatement that is final, Genesis included; never a record
	LeafSettlement   RecordType = 33 // SettledEpoch; never a record
	LeafRotation     RecordType = 34 // Rotated; never a record
	LeafEvidence     RecordType = 35 // protocol.Contradiction; never a record
	LeafTwoSums      RecordType = 36 // protocol.Doubled[protocol.Partial]; never a record
	LeafTwoShards    RecordType = 37 // protocol.Doubled[protocol.ShardCertificate]; never a record
	LeafTwoPayouts   RecordType = 38 // protocol.DoubleSettlement; never a record
)

// String returns the type's name.
func (t RecordType) String() string {
	switch t {
	case LeafStatement:
		return "statement"
	case LeafSettlement:
		return "settlement"
	case LeafRotation:
		return "rotation"
	case LeafEvidence, LeafTwoSums, LeafTwoShards, LeafTwoPayouts:
		return "evidence"
	}
	names := [...]string{"unknown", "genesis", "tick", "join", "leave", "commit", "cosign", "attest", "draw", "verdict", "settle", "checkpoint",
		"control", "rotate", "partial", "shard certificate"}
	if int(t) >= len(names) {
		return names[0]
	}
	return names[t]
}

// Envelope is the form of records and of leaves: Body is the canonical encoding of the type's message.
type Envelope struct {
	_    struct{} `cbor:",toarray"`
	Type RecordType
	Body []byte
}

// Tick advances the logged time, in milliseconds since 1970. It is the machine's only clock.
type Tick struct {
	_         struct{} `cbor:",toarray"`
	UnixMilli int64
}

// Cosign is one aggregator's signature under a statement. For Open, Freeze and RevealSet the statement must equal the
// one that the machine derives; a Certificate is each aggregator's own result.
type Cosign struct {
	_           struct{} `cbor:",toarray"`
	Statement   protocol.Statement
	Cosignature protocol.Cosignature
}

// Settle is one aggregator's proposal to close an epoch, with its signature over the settlement's EIP-712 digest.
type Settle struct {
	_          struct{} `cbor:",toarray"`
	Settlement protocol.Settlement
	Payouts    []protocol.Payout // strictly ascending by account
	Signer     protocol.PeerID
	Sig        protocol.EVMSignature
}

// Checkpoint is one aggregator's cosigned checkpoint (C2SP tlog-checkpoint in a signed note) of the transparency log.
type Checkpoint struct {
	_      struct{} `cbor:",toarray"`
	Size   uint64
	Signer protocol.PeerID
	Note   []byte // at most MaxNote bytes; its second line is Size, its third the root in base64
}

// Partial is one owner's word on the sums of a shard. The sums themselves, in the form that ShardSums returns, are left
// empty if the log holds equal ones already.
type Partial struct {
	_       struct{} `cbor:",toarray"`
	Message protocol.Signed[protocol.Partial]
	Sums    []byte
}

// Rotate is one aggregator's signature over the EIP-712 digest of the rotation that a change of the council needs.
type Rotate struct {
	_        struct{} `cbor:",toarray"`
	Rotation protocol.Rotation
	Signer   protocol.PeerID
	Sig      protocol.EVMSignature
}

// MaxNote bounds the note of a Checkpoint in bytes.
const MaxNote = 4 << 10

// EncodeLeaf returns the canonical bytes of a record or leaf of the given type. v is the message of that type.
func EncodeLeaf(t RecordType, v any) []byte {
	body, err := protocol.Encode(v)
	if err == nil {
		body, err = protocol.Encode(Envelope{Type: t, Body: body})
	}
	if err != nil {
		return nil // only for a type without encoding, which the typed constructors exclude; Apply refuses it
	}
	return body
}

// The constructors return the canonical encoding of a record.

func GenesisRecord(s *protocol.SignedStatement) []byte { return EncodeLeaf(RecordGenesis, s) }
func TickRecord(unixMilli int64) []byte                { return EncodeLeaf(RecordTick, Tick{UnixMilli: unixMilli}) }
func JoinRecord(s protocol.Signed[protocol.Join]) []byte {
	return EncodeLeaf(RecordJoin, s)
}
func LeaveRecord(s protocol.Signed[protocol.Leave]) []byte {
	return EncodeLeaf(RecordLeave, s)
}
func CommitRecord(s protocol.Signed[protocol.Commit]) []byte {
	return EncodeLeaf(RecordCommit, s)
}
func CosignRecord(s protocol.Statement, c protocol.Cosignature) []byte {
	return EncodeLeaf(RecordCosign, Cosign{Statement: s, Cosignature: c})
}
func AttestRecord(s protocol.Signed[protocol.Attest]) []byte {
	return EncodeLeaf(RecordAttest, s)
}
func DrawRecord(s protocol.Signed[protocol.Draw]) []byte {
	return EncodeLeaf(RecordDraw, s)
}
func VerdictRecord(s protocol.Signed[protocol.Verdict]) []byte {
	return EncodeLeaf(RecordVerdict, s)
}
func ControlRecord(s protocol.Signed[protocol.Control]) []byte {
	return EncodeLeaf(RecordControl, s)
}
func ShardRecord(s protocol.Signed[protocol.ShardCertificate]) []byte {
	return EncodeLeaf(RecordShard, s)
}
func PartialRecord(p Partial) []byte       { return EncodeLeaf(RecordPartial, p) }
func RotateRecord(r Rotate) []byte         { return EncodeLeaf(RecordRotate, r) }
func SettleRecord(s Settle) []byte         { return EncodeLeaf(RecordSettle, s) }
func CheckpointRecord(c Checkpoint) []byte { return EncodeLeaf(RecordCheckpoint, c) }

// DecodeEnvelope parses a record or a leaf without looking into its body.
func DecodeEnvelope(data []byte) (Envelope, error) {
	var e Envelope
	err := protocol.Decode(data, MaxRecord, &e)
	return e, err
}

// DecodeRecord parses a record or leaf strictly. The message is a pointer to the type listed with its RecordType. No
// signature is verified. It returns protocol.ErrTooLarge or protocol.ErrNotCanonical for anything else.
func DecodeRecord(data []byte) (RecordType, any, error) {
	e, err := DecodeEnvelope(data)
	if err != nil {
		return 0, nil, err
	}
	v := newMessage(e.Type)
	if v == nil {
		return 0, nil, fmt.Errorf("record of unknown type %d: %w", e.Type, protocol.ErrNotCanonical)
	}
	if err := protocol.Decode(e.Body, protocol.MaxMessage, v); err != nil {
		return 0, nil, fmt.Errorf("%s record: %w", e.Type, err)
	}
	return e.Type, v, nil
}

func newMessage(t RecordType) any {
	switch t {
	case RecordGenesis, LeafStatement:
		return new(protocol.SignedStatement)
	case RecordTick:
		return new(Tick)
	case RecordJoin:
		return new(protocol.Signed[protocol.Join])
	case RecordLeave:
		return new(protocol.Signed[protocol.Leave])
	case RecordCommit:
		return new(protocol.Signed[protocol.Commit])
	case RecordCosign:
		return new(Cosign)
	case RecordAttest:
		return new(protocol.Signed[protocol.Attest])
	case RecordDraw:
		return new(protocol.Signed[protocol.Draw])
	case RecordVerdict:
		return new(protocol.Signed[protocol.Verdict])
	case RecordSettle:
		return new(Settle)
	case RecordCheckpoint:
		return new(Checkpoint)
	case RecordControl:
		return new(protocol.Signed[protocol.Control])
	case RecordRotate:
		return new(Rotate)
	case RecordPartial:
		return new(Partial)
	case RecordShard:
		return new(protocol.Signed[protocol.ShardCertificate])
	case LeafSettlement:
		return new(SettledEpoch)
	case LeafRotation:
		return new(Rotated)
	case LeafEvidence:
		return new(protocol.Contradiction)
	case LeafTwoSums:
		return new(protocol.Doubled[protocol.Partial])
	case LeafTwoShards:
		return new(protocol.Doubled[protocol.ShardCertificate])
	case LeafTwoPayouts:
		return new(protocol.DoubleSettlement)
	}
	return nil
}

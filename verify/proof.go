package verify

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"drystone/protocol"
)

// Proof is everything about one contribution that a stranger needs to judge it, but for bulk data, which it names by
// digest. All paths into the transparency log lead to the root of Checkpoint.
type Proof struct {
	_           struct{} `cbor:",toarray"`
	Spec        []byte   // canonical RunSpec
	Genesis     protocol.SignedStatement
	Previous    []protocol.SignedStatement // RevealSet and Certificate of the round before; none in round 0
	Open        protocol.SignedStatement
	Freeze      protocol.SignedStatement
	RevealSet   protocol.SignedStatement
	Certificate protocol.SignedStatement
	Join        protocol.Signed[protocol.Join]
	Commit      protocol.Signed[protocol.Commit]
	Frozen      protocol.Path // of the commit under Freeze.Root
	Start       protocol.TraceStart
	StartPath   protocol.Path // under Commit.Trace
	End         protocol.TraceEnd
	EndPath     protocol.Path // under Commit.Trace
	Payloads    []PayloadRefs // what the RevealSet's payload roots stand for, in its order
	Checks      []CheckRecord // ascending by drawer
	Checkpoint  []byte        // signed note, cosigned by at least t aggregators
	Logged      LogPaths
	Settlement  []SettlementRecord // none or one
}

// LogPaths places messages of a Proof in the transparency log.
type LogPaths struct {
	_           struct{} `cbor:",toarray"`
	Certificate protocol.Path
	Join        protocol.Path
	Commit      protocol.Path
}

// PayloadRefs names the payloads of one revealed contribution, one per assigned shard in order.
type PayloadRefs struct {
	_      struct{} `cbor:",toarray"`
	Shards []PayloadRef
}

// PayloadRef names one payload.
type PayloadRef struct {
	_      struct{}        `cbor:",toarray"`
	Digest protocol.Digest // MerkleRoot of the payload
	Salt   [16]byte
}

// CheckRecord is one verifier's draw, what the contributor opened for it, and the verdicts on it.
type CheckRecord struct {
	_        struct{} `cbor:",toarray"`
	Draw     protocol.Signed[protocol.Draw]
	Logged   protocol.Path
	Opening  []protocol.Opening // none or one; without Theta, M and V
	Verdicts []VerdictRecord    // ascending by verifier; may be none
}

// VerdictRecord is a verdict and its place in the log.
type VerdictRecord struct {
	_       struct{} `cbor:",toarray"`
	Verdict protocol.Signed[protocol.Verdict]
	Logged  protocol.Path
}

// SettlementRecord is what a later settlement paid the contributor's account. Only a PayoutSource can judge it.
type SettlementRecord struct {
	_          struct{} `cbor:",toarray"`
	Settlement protocol.Settlement
	Sigs       []protocol.EVMSignature
	Payout     protocol.Payout
	Path       []protocol.Digest // of the payout under Settlement.PayoutRoot, in the contract's hashing
}

// MaxProof bounds a proof file, in bytes.
const MaxProof = 32 << 20

const magic = "drystone proof 1\n"

// ErrNotProof means that a file is no proof of this version, or is damaged beyond reading.
var ErrNotProof = errors.New("not a readable proof file")

// File is a proof as it was read: Audit also wants to know whether the file is whole.
type File struct {
	Proof Proof
	whole bool // the trailer matches
}

// Encode returns the proof file: the magic line, the canonical CBOR of p, and SHA-256 of both.
func (p *Proof) Encode() ([]byte, error) {
	body, err := protocol.Encode(p)
	if err != nil {
		return nil, fmt.Errorf("encode proof: %w", err)
	}
	data := append([]byte(magic), body...)
	sum := sha256.Sum256(data)
	if data = append(data, sum[:]...); len(data) > MaxProof {
		return nil, fmt.Errorf("encode proof: %d bytes, limit %d: leave out chunk openings", len(data), MaxProof)
	}
	return data, nil
}

// DecodeProof reads a proof file. It judges nothing: a file whose trailer does not match is returned all the same, for
// Audit to say what is wrong with it. It returns ErrNotProof, wrapped, for what cannot be read.
func DecodeProof(data []byte) (*File, error) {
	switch {
	case len(data) > MaxProof:
		return nil, fmt.Errorf("%w: %d bytes, limit %d", ErrNotProof, len(data), MaxProof)
	case !bytes.HasPrefix(data, []byte(magic)):
		return nil, fmt.Errorf("%w: first line is not %q", ErrNotProof, magic[:len(magic)-1])
	case len(data) < len(magic)+sha256.Size:
		return nil, fmt.Errorf("%w: it ends after %d bytes", ErrNotProof, len(data))
	}
	cut := len(data) - sha256.Size
	var f File
	if err := protocol.Decode(data[len(magic):cut], MaxProof, &f.Proof); err != nil {
		return nil, fmt.Errorf("%w: content: %w", ErrNotProof, err)
	}
	f.whole = sha256.Sum256(data[:cut]) == [32]byte(data[cut:])
	return &f, nil
}

// TakeTrace fills in what any one reveal of the contribution shows: the ends of the trace and its place in the Freeze.
func (p *Proof) TakeTrace(r *protocol.Reveal) {
	p.Start, p.StartPath, p.End, p.EndPath, p.Frozen = r.Start, r.StartPath, r.End, r.EndPath, r.Frozen
}

// Refs names the payloads of a contribution.
func Refs(shards []Shard) PayloadRefs {
	refs := PayloadRefs{Shards: make([]PayloadRef, len(shards))}
	for i, s := range shards {
		refs.Shards[i] = PayloadRef{Digest: protocol.MerkleRoot(s.Payload), Salt: s.Salt}
	}
	return refs
}

// root returns the payload root that the references stand for: protocol.PayloadLeaf from a payload's digest. own are the
// shards that the peer was assigned, empty for all.
func (r PayloadRefs) root(peer protocol.PeerID, own []uint32) protocol.Digest {
	leaves := make([]protocol.Digest, len(r.Shards))
	for i, s := range r.Shards {
		k := protocol.ShardAt(own, i)
		shard := [4]byte{byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}
		leaves[i] = protocol.Hash(protocol.DomainPayload, peer[:], shard[:], s.Digest[:], s.Salt[:])
	}
	return protocol.RootOf(leaves)
}

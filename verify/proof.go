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
	// Councils are the Council statements from the Genesis up to the set that signed Checkpoint, in order; empty while the
	// Genesis's set stands. They stand in the file beside the rest.
	Councils []protocol.SignedStatement `cbor:"-"`
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

// magic begins a file whose content is a Proof; changed begins one whose content is [Proof, Councils], of a run whose
// aggregators changed. Both lines are equally long.
const (
	magic   = "drystone proof 1\n"
	changed = "drystone proof 2\n"
)

type changedProof struct {
	_        struct{} `cbor:",toarray"`
	Proof    Proof
	Councils []protocol.SignedStatement
}

var errNoChange = errors.New("a file of version 2 without a Council")

// ErrNotProof means that a file is no proof of this version, or is damaged beyond reading.
var ErrNotProof = errors.New("not a readable proof file")

// File is a proof as it was read: Audit also wants to know whether the file is whole.
type File struct {
	Proof Proof
	whole bool // the trailer matches
}

// Encode returns the proof file: the magic line, the canonical CBOR of p, and SHA-256 of both.
func (p *Proof) Encode() ([]byte, error) {
	first, content := magic, any(p)
	if len(p.Councils) > 0 {
		first, content = changed, changedProof{Proof: *p, Councils: p.Councils}
	}
	body, err := protocol.Encode(content)
	if err != nil {
		return nil, fmt.Errorf("encode proof: %w", err)
	}
	data := append([]byte(first), body...)
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
	case !bytes.HasPrefix(data, []byte(magic)) && !bytes.HasPrefix(data, []byte(changed)):
		return nil, fmt.Errorf("%w: first line is not %q", ErrNotProof, magic[:len(magic)-1])
	case len(data) < len(magic)+sha256.Size:
		return nil, fmt.Errorf("%w: it ends after %d bytes", ErrNotProof, len(data))
	}
	cut := len(data) - sha256.Size
	var f File
	if err := f.Proof.decode(data[len(magic):cut], bytes.HasPrefix(data, []byte(changed))); err != nil {
		return nil, fmt.Errorf("%w: content: %w", ErrNotProof, err)
	}
	f.whole = sha256.Sum256(data[:cut]) == [32]byte(data[cut:])
	return &f, nil
}

func (p *Proof) decode(body []byte, withCouncils bool) error {
	if !withCouncils {
		return protocol.Decode(body, MaxProof, p)
	}
	var c changedProof
	if err := protocol.Decode(body, MaxProof, &c); err != nil {
		return err
	}
	if len(c.Councils) == 0 {
		return errNoChange
	}
	*p = c.Proof
	p.Councils = c.Councils
	return nil
}

// TakeCheckpoint joins the notes under one checkpoint into the proof, and cuts Councils, which must hold all of the run, off
// after the set that signed it: the newest that has its quorum there.
func (p *Proof) TakeCheckpoint(spec *protocol.RunSpec, notes ...[]byte) error {
	run := protocol.Hash(protocol.DomainRun, p.Spec)
	_, council, err := protocol.OpenGenesis(spec, run, &p.Genesis)
	if err != nil {
		return err
	}
	sets := []*protocol.Council{council}
	for i := range p.Councils {
		if council, err = council.After(spec, &p.Councils[i].Statement); err != nil {
			return err
		}
		sets = append(sets, council)
	}
	for i := len(sets) - 1; i >= 0; i-- {
		var merged []byte
		if merged, err = MergeCheckpoints(sets[i], notes...); err != nil {
			continue
		}
		var cp *Checkpoint
		if cp, err = OpenCheckpoint(merged, sets[i]); err == nil && len(cp.Signers) >= sets[i].Threshold {
			p.Checkpoint, p.Councils = merged, p.Councils[:i]
			return nil
		}
	}
	if err == nil {
		err = fmt.Errorf("%w: too few aggregators of any set signed it", ErrCheckpoint)
	}
	return err
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

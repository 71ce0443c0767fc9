package verify

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"drystone/protocol"
)

// Omission is evidence that a round's Freeze leaves out a commit in spite of receipts: whoever signed both a receipt and the
// Freeze broke a promise. With receipts of n - t + 1 of n aggregators at least one of them must have, since t sign every
// Freeze. The file proves itself, but for the run it belongs to, which the reader brings:
//
//	"drystone omission 1\n"   canonical CBOR of the Omission   SHA-256 of both
type Omission struct {
	_        struct{} `cbor:",toarray"`
	Spec     []byte   // canonical RunSpec
	Genesis  protocol.SignedStatement
	Councils []protocol.SignedStatement // Council statements from the Genesis up to the set of the round, in order; may be none
	Freeze   protocol.SignedStatement
	Commit   protocol.Signed[protocol.Commit]
	Receipts []protocol.Signed[protocol.Receipt] // one an aggregator at most
}

// MaxOmission bounds a file of evidence, in bytes.
const MaxOmission = 8 << 20

const omission = "drystone omission 1\n"

var (
	// ErrNotOmission means that a file is no Omission, or is damaged.
	ErrNotOmission = errors.New("not a readable file of evidence")
	// ErrNothingBroken means that the messages of an Omission are genuine and convict nobody.
	ErrNothingBroken = errors.New("no receipt is broken")
)

// IsOmission reports whether a file begins as one with an Omission does.
func IsOmission(data []byte) bool { return bytes.HasPrefix(data, []byte(omission)) }

// Encode returns the file.
func (o *Omission) Encode() ([]byte, error) {
	body, err := protocol.Encode(o)
	if err != nil {
		return nil, fmt.Errorf("encode evidence: %w", err)
	}
	data := append([]byte(omission), body...)
	sum := sha256.Sum256(data)
	if data = append(data, sum[:]...); len(data) > MaxOmission {
		return nil, fmt.Errorf("encode evidence: %d bytes, limit %d", len(data), MaxOmission)
	}
	return data, nil
}

// DecodeOmission reads a file. It verifies nothing but that the file is whole; it returns ErrNotOmission, wrapped, otherwise.
func DecodeOmission(data []byte) (*Omission, error) {
	cut := len(data) - sha256.Size
	if len(data) > MaxOmission || !IsOmission(data) || cut < len(omission) || sha256.Sum256(data[:cut]) != [32]byte(data[cut:]) {
		return nil, fmt.Errorf("%w: %d bytes, first line or checksum are wrong", ErrNotOmission, len(data))
	}
	var o Omission
	if err := protocol.Decode(data[len(omission):cut], MaxOmission, &o); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotOmission, err)
	}
	return &o, nil
}

// OmissionReport is what an Omission shows. The JSON names are stable.
type OmissionReport struct {
	Run       protocol.Digest   `json:"run"`
	Pinned    bool              `json:"pinned"` // the auditor brought the RunID
	Name      string            `json:"name"`
	Round     uint32            `json:"round"`
	Peer      protocol.PeerID   `json:"peer"` // whose commit is missing
	Commit    protocol.Digest   `json:"commit"`
	Receipts  int               `json:"receipts"`
	Convicted []protocol.PeerID `json:"convicted"` // signed a receipt and the Freeze without the commit, in the order of the receipts
}

// Judge verifies an Omission for a run, or for the one that it names if run is nil. It returns ErrNothingBroken, wrapped, if
// every message is genuine and nobody broke a promise.
func (o *Omission) Judge(run *protocol.Digest) (*OmissionReport, error) {
	r := &OmissionReport{Run: protocol.Hash(protocol.DomainRun, o.Spec), Pinned: run != nil, Convicted: []protocol.PeerID{}}
	if run != nil && r.Run != *run {
		return nil, fmt.Errorf("the evidence is of run %s, not of %s", r.Run, *run)
	}
	spec, err := protocol.DecodeSpec(o.Spec, r.Run)
	if err != nil {
		return nil, err
	}
	council, err := o.council(spec, r.Run)
	if err != nil {
		return nil, err
	}
	if o.Freeze.Statement.Kind != protocol.KindFreeze {
		return nil, fmt.Errorf("a %s where the Freeze should be", o.Freeze.Statement.Kind)
	}
	if err := council.Verify(&o.Freeze); err != nil {
		return nil, err
	}
	c := &o.Commit.Body
	r.Name, r.Round, r.Peer, r.Commit, r.Receipts = spec.Name, c.Round, c.Peer, o.Commit.Digest(), len(o.Receipts)
	if err := o.Commit.Verify(); err != nil {
		return nil, err
	}
	if c.Run != r.Run || c.Round != o.Freeze.Statement.Round || c.Open != o.Freeze.Statement.Prev {
		return nil, fmt.Errorf("the commit answers Open %s of round %d, the Freeze is of another", c.Open.Short(), c.Round)
	}
	given := map[protocol.PeerID]bool{}
	for i := range o.Receipts {
		p := &o.Receipts[i]
		id := p.Body.Aggregator
		if _, ok := council.Member(id); !ok || given[id] || p.Body.Run != r.Run || p.Body.Round != c.Round || p.Body.Commit != r.Commit {
			return nil, fmt.Errorf("receipt %d is not one of an aggregator of the round for this commit, or is its second", i)
		}
		given[id] = true
		if err := p.Verify(); err != nil {
			return nil, fmt.Errorf("receipt %d: %w", i, err)
		}
		if protocol.BrokenReceipt(p, &o.Freeze) {
			r.Convicted = append(r.Convicted, id)
		}
	}
	if len(r.Convicted) == 0 {
		return nil, fmt.Errorf("%w: round %d, commit of %s, %d receipts", ErrNothingBroken, r.Round, r.Peer, r.Receipts)
	}
	return r, nil
}

// council follows the changes of the aggregator set up to the one of the round.
func (o *Omission) council(spec *protocol.RunSpec, run protocol.Digest) (*protocol.Council, error) {
	_, council, err := protocol.OpenGenesis(spec, run, &o.Genesis)
	if err != nil {
		return nil, err
	}
	if len(o.Councils) > maxCouncils {
		return nil, fmt.Errorf("%d changes of the aggregators, want at most %d", len(o.Councils), maxCouncils)
	}
	last := uint32(0)
	for i := range o.Councils {
		s := &o.Councils[i]
		if s.Statement.Kind != protocol.KindCouncil || s.Statement.Round < last || s.Statement.Round > o.Freeze.Statement.Round {
			return nil, fmt.Errorf("statement %d is a %s of round %d, want Councils up to the round in the order of the chain", i, s.Statement.Kind, s.Statement.Round)
		}
		last = s.Statement.Round
		if err := council.Verify(s); err != nil {
			return nil, err
		}
		if council, err = council.After(spec, &s.Statement); err != nil {
			return nil, err
		}
	}
	return council, nil
}

package protocol

import (
	"bytes"
	"errors"
	"fmt"
)

// Kind is the kind of a statement.
type Kind uint8

// Kinds of statements: the first five in the order of a round, then those that may stand between two rounds. A Council
// or an End has the number of the round that it stands before.
const (
	KindGenesis     Kind = 1
	KindOpen        Kind = 2
	KindFreeze      Kind = 3
	KindRevealSet   Kind = 4
	KindCertificate Kind = 5
	KindCouncil     Kind = 6
	KindEnd         Kind = 7
)

// String returns the kind's name.
func (k Kind) String() string {
	names := [...]string{"unknown", "Genesis", "Open", "Freeze", "RevealSet", "Certificate", "Council", "End"}
	if int(k) >= len(names) {
		return names[0]
	}
	return names[k]
}

// Errors of statements.
var (
	ErrNoQuorum = errors.New("too few valid signatures")
	ErrChain    = errors.New("statement does not follow the chain")
)

// Statement is one link of the chain that aggregators sign. Body is the canonical encoding of the kind's body type.
type Statement struct {
	_     struct{} `cbor:",toarray"`
	Run   Digest
	Kind  Kind
	Round uint32
	Prev  Digest // digest of the statement before; zero for Genesis
	Body  []byte
}

// Genesis lists who speaks for the run. The founder and every aggregator in it sign.
type Genesis struct {
	_           struct{} `cbor:",toarray"`
	Founder     PeerID
	Aggregators []Aggregator // ascending by ID
	Threshold   uint32       // t
	Model       Digest       // ModelRoot of theta_0
	Outer       Digest       // OuterRoot before round 0
	Params      uint64       // N, parameters of the model
	Ledger      Ledger
}

// Aggregator is one member of the set.
type Aggregator struct {
	_     struct{} `cbor:",toarray"`
	ID    PeerID
	BLS   [96]byte // compressed G2 public key of draws
	Proof [48]byte // proof of possession of the BLS key
	Addrs []string // multiaddrs with /p2p/
}

// Ledger names the contracts that pay the run, and the transactions that created them, so that anyone can check their
// terms.
type Ledger struct {
	_             struct{} `cbor:",toarray"`
	ChainID       uint64
	Token         Address
	Escrow        Address
	Distributor   Address
	Sponsor       Address // who paid the budget in
	TokenTx       Digest  // transaction hash
	DistributorTx Digest  // transaction hash; the Distributor creates the Escrow
	Block         uint64  // no event of the run is in an earlier block
	Host          PeerID  // who reaches the chain for others and pays gas for relayed claims
}

// Open starts a round from public state. Assignments follow by rule from the roster and its capacities. Capacity is left
// out of the encoding if it is empty, and Start and Ahead are where train.delay is 0.
type Open struct {
	_        struct{} `cbor:",toarray"`
	Model    Digest   // ModelRoot of theta_r, which the round's merge is applied to
	Outer    Digest   // OuterRoot
	Roster   []PeerID // ascending; a peer's place is its assignment index
	Capacity []uint32 // Join.Shards of each of the roster; empty if all of them are 0
	Start    Digest   // with a delay: ModelRoot of what the round trains from, theta_{r-1}, in round 0 theta_0
	Ahead    []Ahead  // with a delay: the roster of the next round, which trains from Model; none in the last round
}

// Ahead is one of those who may train the next round before it opens.
type Ahead struct {
	_      struct{} `cbor:",toarray"`
	Peer   PeerID
	Shards uint32 // its capacity then, as in Open.Capacity
}

// From returns the root of the parameters that the round trains from.
func (o *Open) From() Digest {
	if o.Start.IsZero() {
		return o.Model
	}
	return o.Start
}

// Next returns the roster of the next round as this Open announces it, with its capacities as in Capacity.
func (o *Open) Next() (roster []PeerID, capacity []uint32) {
	roster = make([]PeerID, len(o.Ahead))
	partial := false
	for i, a := range o.Ahead {
		roster[i], capacity, partial = a.Peer, append(capacity, a.Shards), partial || a.Shards > 0
	}
	if !partial {
		capacity = nil
	}
	return roster, capacity
}

// Freeze closes the commits of a round. Root is F_r: RootOf the FrozenLeaf of every commit, ascending by peer ID.
type Freeze struct {
	_       struct{} `cbor:",toarray"`
	Root    Digest
	Commits []Frozen // ascending by peer
}

// Frozen is one commit of a Freeze.
type Frozen struct {
	_      struct{} `cbor:",toarray"`
	Peer   PeerID
	Commit Digest
}

// RevealSet fixes which contributions enter the merge: those that t aggregators attest to holding.
type RevealSet struct {
	_   struct{}   `cbor:",toarray"`
	Set []Revealed // ascending by peer
}

// Revealed is one contribution of a RevealSet.
type Revealed struct {
	_        struct{} `cbor:",toarray"`
	Peer     PeerID
	Commit   Digest
	Steps    uint32
	Payload  Digest // TraceEnd.Payload
	Feedback Digest // TraceEnd.Feedback, on which the peer's next contribution stands
}

// Certificate fixes the result of a round.
type Certificate struct {
	_     struct{} `cbor:",toarray"`
	Model Digest   // ModelRoot of theta_{r+1}
	Outer Digest   // OuterRoot after the round
	Merge []Merged // the merge record, ascending by peer
	// Updates are the payloads of the way down, one per shard; empty, and left out of the encoding, in runs without.
	Updates []ShardUpdate
}

// Merged is one line of the merge record: enough, with the payloads, for anyone to recompute the merge.
type Merged struct {
	_      struct{} `cbor:",toarray"`
	Peer   PeerID
	Weight uint32 // bits of the float32 weight, after normalisation and the rule
	Norm   uint64 // bits of the float64 Euclidean norm of the decoded update
}

// NewCouncil replaces the aggregator set: the set before signs it, the new one signs every statement after it. The change
// is one in, one out, or one of each, and Threshold follows from it (QuorumSpec.Of).
type NewCouncil struct {
	_           struct{}     `cbor:",toarray"`
	Aggregators []Aggregator // ascending by ID
	Threshold   uint32       // t
	Control     Digest       // the founder's Control that asked for it, a leaf of the log
}

// End ends the run before the planned number of rounds: those before End's own Round were its last. What they owe is
// still checked and settled.
type End struct {
	_       struct{} `cbor:",toarray"`
	Control Digest   // the founder's Control that asked for it, a leaf of the log
}

// StatementBody is the body of any kind of statement.
type StatementBody interface {
	Genesis | Open | Freeze | RevealSet | Certificate | NewCouncil | End
}

// Body returns the statement's body as the type of its kind.
func DecodeBody[T StatementBody](s *Statement) (*T, error) {
	var v T
	if want := kindOf(any(v)); s.Kind != want {
		return nil, fmt.Errorf("statement is a %s, want %s: %w", s.Kind, want, ErrChain)
	}
	if err := Decode(s.Body, MaxMessage, &v); err != nil {
		return nil, err
	}
	return &v, nil
}

func kindOf(v any) Kind {
	switch v.(type) {
	case Genesis:
		return KindGenesis
	case Open:
		return KindOpen
	case Freeze:
		return KindFreeze
	case RevealSet:
		return KindRevealSet
	case Certificate:
		return KindCertificate
	case NewCouncil:
		return KindCouncil
	case End:
		return KindEnd
	}
	return 0
}

// NewStatement makes the statement with the given body.
func NewStatement[T StatementBody](run Digest, round uint32, prev Digest, b T) Statement {
	return Statement{Run: run, Kind: kindOf(any(b)), Round: round, Prev: prev, Body: mustEncode(b)}
}

// Digest identifies the statement; signatures are over it.
func (s *Statement) Digest() Digest { return Hash(DomainStatement, mustEncode(s)) }

// Cosignature is one signer's signature over a statement's digest.
type Cosignature struct {
	_      struct{} `cbor:",toarray"`
	Signer PeerID
	Sig    Signature
}

// SignedStatement is a statement with the signatures that make it binding, ascending by signer.
type SignedStatement struct {
	_         struct{} `cbor:",toarray"`
	Statement Statement
	Sigs      []Cosignature
}

// Encode returns the canonical encoding.
func (s *SignedStatement) Encode() []byte { return mustEncode(s) }

// DecodeStatement decodes a SignedStatement of at most MaxMessage bytes. It verifies no signature.
func DecodeStatement(data []byte) (*SignedStatement, error) {
	var s SignedStatement
	if err := Decode(data, MaxMessage, &s); err != nil {
		return nil, err
	}
	return &s, nil
}

// countSigs wants at least need signatures, strictly ascending by signer, every one of them valid and by an allowed signer.
func countSigs(s *Statement, sigs []Cosignature, need int, allowed func(PeerID) bool) error {
	if len(sigs) < need || len(sigs) > MaxSigners+1 {
		return fmt.Errorf("%s of round %d: %d signatures, want %d: %w", s.Kind, s.Round, len(sigs), need, ErrNoQuorum)
	}
	d := s.Digest()
	for i, sig := range sigs {
		if i > 0 && bytes.Compare(sigs[i-1].Signer[:], sig.Signer[:]) >= 0 {
			return fmt.Errorf("%s of round %d: signers not in ascending order: %w", s.Kind, s.Round, ErrNoQuorum)
		}
		if !allowed(sig.Signer) {
			return fmt.Errorf("%s of round %d: signer %s is no aggregator: %w", s.Kind, s.Round, sig.Signer.Short(), ErrNoQuorum)
		}
		if err := sig.Signer.VerifyDigest(d, sig.Sig); err != nil {
			return fmt.Errorf("%s of round %d: %w", s.Kind, s.Round, err)
		}
	}
	return nil
}

// Follows checks that s is the next link after prev: kinds in order, rounds in order, digests chained. Between the
// Certificate of a round and the next Open any number of Councils may stand, and instead of that Open an End, after which
// there is nothing.
func (s *Statement) Follows(prev *Statement) error {
	round, ok := prev.Round, s.Kind == prev.Kind+1
	switch prev.Kind {
	case KindCertificate:
		round++
		ok = s.Kind.opens()
	case KindGenesis, KindCouncil:
		ok = s.Kind.opens()
	case KindEnd:
		ok = false
	}
	if !ok || s.Run != prev.Run || s.Round != round || s.Prev != prev.Digest() {
		return fmt.Errorf("%s of round %d after %s of round %d: %w", s.Kind, s.Round, prev.Kind, prev.Round, ErrChain)
	}
	return nil
}

// opens reports whether a statement of this kind may be the first of a round.
func (k Kind) opens() bool { return k == KindOpen || k == KindCouncil || k == KindEnd }

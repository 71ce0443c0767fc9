package aggregate

import (
	"bytes"
	"slices"

	"drystone/protocol"
)

// The state is plain data, so that a snapshot is its encoding and nothing else. Slices with a peer are ascending by it.
type state struct {
	_           struct{} `cbor:",toarray"`
	Version     uint8
	Now         int64 // logged time, milliseconds since 1970; 0 before the first Tick
	Phase       Phase
	Round       uint32
	Since       int64 // logged time at which the phase began; 0 until the first Tick in it
	Extended    bool  // the train deadline passed once without a commit
	Genesis     *protocol.SignedStatement
	Head        *protocol.SignedStatement // last final statement
	Model       protocol.Digest
	Outer       protocol.Digest
	Ballots     []ballot // statements being signed: one derived, or every Certificate proposed
	Peers       []peer
	Rounds      []round // live rounds, ascending
	Pay         payState
	Log         logState
	Aggregators []aggregatorState
	Evidence    []Evidence
	Orders      orders
	Council     *protocol.SignedStatement // the last Council statement; nil while the Genesis's set stands
	Turn        *Rotated                  // rotation under signature while the council changes
	Rotations   []Rotated                 // all of the run, ascending
	Ended       bool                      // by an End; Round is then the number of rounds
	Told        []told                    // which contradictions the log has, so that none becomes a leaf twice
}

// orders are the founder's Controls, as far as they still mean something.
type orders struct {
	_      struct{}        `cbor:",toarray"`
	Nonce  uint64          // of the last one
	Last   protocol.Digest // of the last one
	Pause  *protocol.Signed[protocol.Control]
	Stop   *protocol.Signed[protocol.Control]
	Change *protocol.Signed[protocol.Control] // of the council, until its statement is final
}

const stateVersion = 6

// ballot collects signatures under one statement.
type ballot struct {
	_         struct{} `cbor:",toarray"`
	Statement protocol.Statement
	Sigs      []protocol.Cosignature // ascending by signer
}

func (b *ballot) signed() *protocol.SignedStatement {
	return &protocol.SignedStatement{Statement: b.Statement, Sigs: slices.Clone(b.Sigs)}
}

type peer struct {
	_         struct{} `cbor:",toarray"`
	ID        protocol.PeerID
	Payout    protocol.Address
	Nonce     uint64
	Last      protocol.Digest // of the Join or Leave with this nonce
	Active    bool
	Misses    uint32
	Convicted bool
	Refuted   uint32 // first refuted round, if Convicted; otherwise one more than the first round of its absence, 0 for none
	Tokens    uint64
	Merged    uint32
	Shards    uint32 // that it can train, 0 for all: of its latest Join
}

type aggregatorState struct {
	_      struct{} `cbor:",toarray"`
	ID     protocol.PeerID
	Faults uint32
	Checks uint32
	Away   bool // was late, and was not heard of since: no check falls on it first
}

// round is everything about a round from its Open until its checks are over.
type round struct {
	_          struct{} `cbor:",toarray"`
	Number     uint32
	Statements []protocol.SignedStatement // final ones, in order: Open, Freeze, RevealSet, Certificate
	Entries    []entry                    // one per rostered peer
	Capacity   []uint32                   // of each of them, as in the Open; empty if all train everything
	Frozen     protocol.Digest            // F_r
	Draws      []draw                     // ascending by verifier
	Faulted    []protocol.PeerID          // verifiers that were late in this round, in order of the fault
	Settled    bool
	Parts      *parts // of the merge under way, if the shards have owners
}

// entry is one rostered peer's part of a round.
type entry struct {
	_       struct{} `cbor:",toarray"`
	Peer    protocol.PeerID
	Commit  *protocol.Signed[protocol.Commit] // nil until committed
	Double  bool                              // a second commit was recorded as evidence
	Attests []attestation                     // ascending by aggregator
	Reveal  *reveal                           // what t aggregators attest to, if it stands on the right state
	Bad     bool                              // t aggregators attest to a contribution that stands on another state
	Account protocol.Address                  // payout address when the RevealSet became final
	Check   check
}

type reveal struct {
	_     struct{} `cbor:",toarray"`
	Start protocol.TraceStart
	End   protocol.TraceEnd
}

type attestation struct {
	_          struct{} `cbor:",toarray"`
	Aggregator protocol.PeerID
	Reveal     reveal
	Shards     []uint32 // those held, ascending; empty for all assigned
}

type draw struct {
	_        struct{} `cbor:",toarray"`
	Verifier protocol.PeerID
	BLS      [48]byte
}

// check is the spot check of one contribution.
type check struct {
	_       struct{} `cbor:",toarray"`
	Next    uint32   // place in the check order of the next verifier to be called
	Slots   []slot
	Done    bool
	Refuted bool
}

type slot struct {
	_        struct{} `cbor:",toarray"`
	Verifier protocol.PeerID
	State    SlotState
	Since    int64 // logged time at which the state began; 0 until the next Tick
	Votes    []vote
}

type vote struct {
	_        struct{} `cbor:",toarray"`
	Verifier protocol.PeerID
	Outcome  protocol.Outcome
	Digest   protocol.Digest // of the verdict
}

// payState is what is earned and paid.
type payState struct {
	_       struct{} `cbor:",toarray"`
	Epochs  []epoch  // begun and not settled, ascending
	Settled uint64   // last settled epoch
	Last    *SettledEpoch
	Bids    []Settle // for the epoch that is due, ascending by signer
}

type epoch struct {
	_       struct{} `cbor:",toarray"`
	Number  uint64   // from 1
	Rounds  uint32   // settled so far
	Due     bool     // all rounds are settled
	LogRoot protocol.Digest
	Work    []Work            // of settled rounds
	Void    []protocol.PeerID // refuted in this epoch, ascending
}

// logState is the transparency log without its leaves: the compact range (RFC 6962 tree, perfect subtrees from the left)
// and the checkpoint under signature.
type logState struct {
	_      struct{} `cbor:",toarray"`
	Size   uint64
	Hashes [][]byte
	Target *CosignedCheckpoint // being signed
	Last   *CosignedCheckpoint // reached its quorum
}

// search finds a peer in a slice that is ascending by the ID that key returns.
func search[E any](s []E, id protocol.PeerID, key func(*E) protocol.PeerID) (int, bool) {
	lo, hi := 0, len(s)
	for lo < hi {
		mid := int(uint(lo+hi) / 2)
		k := key(&s[mid])
		if bytes.Compare(k[:], id[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, lo < len(s) && key(&s[lo]) == id
}

func comparePeers(a, b protocol.PeerID) int { return bytes.Compare(a[:], b[:]) }

func peerKey(p *peer) protocol.PeerID                   { return p.ID }
func entryKey(e *entry) protocol.PeerID                 { return e.Peer }
func drawKey(d *draw) protocol.PeerID                   { return d.Verifier }
func attestKey(a *attestation) protocol.PeerID          { return a.Aggregator }
func cosignKey(c *protocol.Cosignature) protocol.PeerID { return c.Signer }
func paidKey(s *SettlementSignature) protocol.PeerID    { return s.Signer }
func bidKey(s *Settle) protocol.PeerID                  { return s.Signer }
func noteKey(n *SignedNote) protocol.PeerID             { return n.Signer }
func aggregatorKey(a *aggregatorState) protocol.PeerID  { return a.ID }
func idKey(id *protocol.PeerID) protocol.PeerID         { return *id }

func (m *Machine) peer(id protocol.PeerID) *peer {
	if i, ok := search(m.s.Peers, id, peerKey); ok {
		return &m.s.Peers[i]
	}
	return nil
}

func (m *Machine) round(number uint32) *round {
	for i := range m.s.Rounds {
		if m.s.Rounds[i].Number == number {
			return &m.s.Rounds[i]
		}
	}
	return nil
}

func (r *round) entry(id protocol.PeerID) *entry {
	if i, ok := search(r.Entries, id, entryKey); ok {
		return &r.Entries[i]
	}
	return nil
}

// statement returns the round's final statement of a kind, or nil.
func (r *round) statement(k protocol.Kind) *protocol.SignedStatement {
	if i := int(k - protocol.KindOpen); i < len(r.Statements) {
		return &r.Statements[i]
	}
	return nil
}

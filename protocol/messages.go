package protocol

// Join asks for a place in the roster from the next Open on, and names where earnings go. Shards is left out of the
// encoding if it is 0.
type Join struct {
	_      struct{} `cbor:",toarray"`
	Run    Digest
	Peer   PeerID
	Payout Address // may be a cold wallet; need not be the peer key's own account
	Nonce  uint64  // rises with each Join or Leave of a peer, so that an old one cannot be replayed
	Shards uint32  // how many shards the peer can train, at least TrainSpec.MinShards; 0 for all
}

// Leave gives the place up. Work committed before it still counts.
type Leave struct {
	_     struct{} `cbor:",toarray"`
	Run   Digest
	Peer  PeerID
	Nonce uint64
}

// Commit binds a peer to its contribution before anyone can see it. Trace is the root of the contribution's trace.
type Commit struct {
	_     struct{} `cbor:",toarray"`
	Run   Digest
	Round uint32
	Peer  PeerID
	Open  Digest // of the Open statement that it answers
	Trace Digest
	Steps uint32 // inner steps taken, 1 to H; the weight in the merge
}

// Receipt is an aggregator's promise that a commit will be in the Freeze of its round.
type Receipt struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	Round      uint32
	Commit     Digest
	Aggregator PeerID
}

// Attest says that an aggregator holds shards of a contribution, checked against its commit, and will serve them for the
// retention window. Shards is left out of the encoding if it is empty.
type Attest struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	Round      uint32
	Peer       PeerID // the contributor
	Commit     Digest
	Start      TraceStart // opened leaf 0, so that every aggregator knows what the contribution stands on
	End        TraceEnd   // opened last leaf: payload and error feedback roots
	Aggregator PeerID
	Shards     []uint32 // those held, ascending; empty for all that the contributor was assigned
}

// Draw is a verifier's unpredictable and unique choice: its BLS signature over DrawMessage.
type Draw struct {
	_        struct{} `cbor:",toarray"`
	Run      Digest
	Round    uint32
	Verifier PeerID
	BLS      [48]byte // compressed G1 point
}

// Outcome is what a check found.
type Outcome uint8

// Outcomes of a check. Everything but Passed refutes the contribution once enough verifiers agree.
const (
	Passed     Outcome = 1 // the replayed states and the codec chunks equal those committed
	Mismatch   Outcome = 2 // the replayed state differs from the trace
	BadPayload Outcome = 3 // a drawn codec chunk is not what the states encode to
	Withheld   Outcome = 4 // the peer did not open the drawn state in time
	Malformed  Outcome = 5 // the opening does not match the commit
)

// String returns the outcome in words.
func (o Outcome) String() string {
	switch o {
	case Passed:
		return "passed"
	case Mismatch:
		return "replay mismatch"
	case BadPayload:
		return "payload mismatch"
	case Withheld:
		return "opening withheld"
	case Malformed:
		return "malformed opening"
	}
	return "unknown"
}

// Verdict is the result of one check: Verifier replayed the segment that Drawer's draw chose of Peer's contribution.
// Drawer and Verifier differ when others confirm a failed check.
type Verdict struct {
	_        struct{} `cbor:",toarray"`
	Run      Digest
	Round    uint32
	Peer     PeerID
	Drawer   PeerID
	Verifier PeerID
	Segment  uint32
	Outcome  Outcome
	States   Digest // StatesDigest of the verifier and what it replayed, so that verdicts cannot be copied
}

// StatesDigest binds a replay to the verifier that did it.
func StatesDigest(verifier PeerID, state TraceState) Digest {
	return Hash(DomainStates, verifier[:], mustEncode(state))
}

func (Join) domain() string    { return DomainJoin }
func (Leave) domain() string   { return DomainLeave }
func (Commit) domain() string  { return DomainCommit }
func (Receipt) domain() string { return DomainReceipt }
func (Attest) domain() string  { return DomainAttest }
func (Draw) domain() string    { return DomainDraw }
func (Verdict) domain() string { return DomainVerdict }

func (m Join) signer() PeerID    { return m.Peer }
func (m Leave) signer() PeerID   { return m.Peer }
func (m Commit) signer() PeerID  { return m.Peer }
func (m Receipt) signer() PeerID { return m.Aggregator }
func (m Attest) signer() PeerID  { return m.Aggregator }
func (m Draw) signer() PeerID    { return m.Verifier }
func (m Verdict) signer() PeerID { return m.Verifier }

package node

import "drystone/protocol"

// Calls that the processes of a run make to one another (gossip.Host.Call). Requests and responses are canonical CBOR
// unless stated.
const (
	callSpec       = "spec"       // anyone, empty request: the canonical RunSpec
	callOffer      = "offer"      // founder, before Genesis: an Offer; empty response
	callCosign     = "cosign"     // aggregator, before Genesis: the founder's Genesis; a Cosignature
	callStatements = "statements" // anyone: a statementsRequest; a statementsResponse
	callHead       = "head"       // anyone, empty request: a headResponse
	callJoin       = "join"       // aggregator: a signed Join; empty response once it is logged
	callLeave      = "leave"      // aggregator: a signed Leave; empty response once it is logged
	callObserve    = "observe"    // aggregator: a signed Accept of the caller; empty response: it may read the Raft log for a minute
	callCommit     = "commit"     // aggregator: a signed Commit; a signed Receipt once it is logged
	callReveal     = "reveal"     // contributor or aggregator: a revealRequest; a Reveal
	callOpen       = "open"       // contributor: an OpenRequest; an Opening
	callOpening    = "opening"    // aggregator: an openingRequest; an Opening without states
	callLeaves     = "leaves"     // aggregator: a leavesRequest; a leavesResponse
	callControl    = "control"    // aggregator: a signed Control of the founder; empty response once it is logged
	callStatus     = "status"     // aggregator, empty request: Status as JSON
	callProof      = "proof"      // aggregator: a proofRequest; a proof file
	callAccount    = "account"    // aggregator: an account (20 bytes); an Account as JSON
	callChain      = "chain"      // ledger host: one JSON-RPC request; its response
	callOver       = "over"       // ledger host: an aggregator's declaration that no epoch follows; a declared
	callClaim      = "claim"      // ledger host: an account (20 bytes); a Claim as JSON
)

// Bounds of requests and responses, in bytes.
const (
	maxSmall      = 16 << 10
	maxStatements = 4 << 20
	maxLeaves     = 4 << 20
	maxStatus     = 8 << 20
	maxProofFile  = 32 << 20
	maxChainCall  = 1 << 20
	maxOpening    = 64 << 20 // the largest response of a call; a larger opening would never arrive, and its peer be refuted
)

// statementsRequest asks for statements from a place of the chain on.
type statementsRequest struct {
	_    struct{} `cbor:",toarray"`
	From uint64   // how many statements come before it; Genesis is 0
}

// statementsResponse holds as many statements as fit.
type statementsResponse struct {
	_    struct{} `cbor:",toarray"`
	List []protocol.SignedStatement
}

// revealRequest names one shard of a contribution.
type revealRequest struct {
	_     struct{} `cbor:",toarray"`
	Round uint32
	Peer  protocol.PeerID
	Shard uint32
}

// openingRequest names what was opened for a drawer's check.
type openingRequest struct {
	_      struct{} `cbor:",toarray"`
	Round  uint32
	Peer   protocol.PeerID
	Drawer protocol.PeerID
}

// leavesRequest asks for leaves of the transparency log, number From and what follows, of the log as it was with Size leaves.
type leavesRequest struct {
	_    struct{} `cbor:",toarray"`
	From uint64
	Size uint64
}

// leavesResponse holds as many as fit, and the RFC 6962 proof that the log up to the last of them is a prefix of that of
// Size leaves; no proof if that is all of it.
type leavesResponse struct {
	_      struct{} `cbor:",toarray"`
	Leaves [][]byte
	Proof  []protocol.Digest
}

// proofRequest names a contribution.
type proofRequest struct {
	_     struct{} `cbor:",toarray"`
	Round uint32
	Peer  protocol.PeerID
}

// Claim is the result of a relayed claim.
type Claim struct {
	Account protocol.Address `json:"account"`
	Paid    string           `json:"paid"`    // smallest units moved by this claim, decimal
	Balance string           `json:"balance"` // the account's balance on the chain afterwards
	Tx      string           `json:"tx"`      // hash; empty if there was nothing to claim
	GasBy   protocol.PeerID  `json:"gas_by"`  // who paid for the transaction
}

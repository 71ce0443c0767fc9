package protocol

import "fmt"

// A trace is the Merkle tree over one contribution's states, S segments long:
//
//	leaf 0      TraceStart  what the contribution stands on
//	leaf 1..S   TraceState  the state after each segment
//	leaf S+1    TraceEnd    what it publishes

// TraceStart names the public parameters and the peer's own carried-over error feedback.
type TraceStart struct {
	_        struct{} `cbor:",toarray"`
	Model    Digest   // ModelRoot of theta_r
	Feedback Digest   // error feedback root of the peer's contribution to round r-1 if the RevealSet of r-1 holds it, else zero
}

// TraceState is the state after a segment. Theta, M and V are MerkleRoots over little-endian float32 vectors: theta of all
// N parameters, M and V of those in the assigned shards, in their order.
type TraceState struct {
	_     struct{} `cbor:",toarray"`
	Step  uint32   // inner steps done in this round
	Theta Digest
	M     Digest // AdamW first moment
	V     Digest // AdamW second moment
}

// TraceEnd names what is published.
type TraceEnd struct {
	_        struct{} `cbor:",toarray"`
	Payload  Digest   // RootOf the PayloadLeaf of every assigned shard, in shard order
	Feedback Digest   // MerkleRoot of the error feedback after encoding, N values; zero for a codec without
}

// Leaf returns the leaf hash in the trace.
func (t TraceStart) Leaf() Digest { return LeafHash(mustEncode(t)) }
func (t TraceState) Leaf() Digest { return LeafHash(mustEncode(t)) }
func (t TraceEnd) Leaf() Digest   { return LeafHash(mustEncode(t)) }

// PayloadLeaf hides a payload until it is revealed with its salt.
func PayloadLeaf(peer PeerID, shard uint32, payload []byte, salt [16]byte) Digest {
	d := MerkleRoot(payload)
	return Hash(DomainPayload, peer[:], []byte{byte(shard >> 24), byte(shard >> 16), byte(shard >> 8), byte(shard)}, d[:], salt[:])
}

// Reveal is one shard of a contribution, published after the Freeze. It proves itself against the commit alone.
type Reveal struct {
	_         struct{} `cbor:",toarray"`
	Run       Digest
	Round     uint32
	Peer      PeerID
	Shard     uint32
	Payload   []byte
	Salt      [16]byte
	ShardPath Path // of PayloadLeaf under End.Payload
	Start     TraceStart
	StartPath Path // of leaf 0 under the commit's trace root
	End       TraceEnd
	EndPath   Path // of the last leaf under the commit's trace root
	Frozen    Path // of the commit's digest under the Freeze's root
}

// Encode returns the canonical encoding.
func (r *Reveal) Encode() []byte { return mustEncode(r) }

// DecodeReveal decodes a Reveal of at most MaxMessage bytes. Call Check before trusting a field.
func DecodeReveal(data []byte) (*Reveal, error) {
	var r Reveal
	if err := decodeWith(proofMode, data, MaxMessage, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Check verifies the reveal against the commit, the shape of the run, the shards that its peer was assigned, and the
// frozen root. A shard that was not assigned has no place in a contribution.
func (r *Reveal) Check(s *RunSpec, params int, assigned []uint32, c *Commit, frozen Digest) error {
	place, own := PlaceOf(assigned, int(r.Shard))
	size := s.Codec.Owed(params, assigned)
	last := uint64(s.Segments(c.Steps)) + 1
	switch {
	case r.Run != c.Run || r.Round != c.Round || r.Peer != c.Peer:
		return fmt.Errorf("reveal of %s is not for commit of %s in round %d", r.Peer.Short(), c.Peer.Short(), c.Round)
	case c.Steps < 1 || c.Steps > s.Train.Steps:
		return fmt.Errorf("reveal of %s: commit of %d steps, want 1 to %d", r.Peer.Short(), c.Steps, s.Train.Steps)
	case int64(r.Shard) >= int64(s.Codec.Shards(params)) || !own:
		return fmt.Errorf("reveal of %s: shard %d of %d is not one of its %d", r.Peer.Short(), r.Shard, s.Codec.Shards(params), size)
	case r.ShardPath.Index != uint64(place) || r.ShardPath.Size != uint64(size):
		return fmt.Errorf("reveal of %s: shard path: %w", r.Peer.Short(), ErrBadPath)
	case r.StartPath.Index != 0 || r.StartPath.Size != last+1 || r.EndPath.Index != last || r.EndPath.Size != last+1:
		return fmt.Errorf("reveal of %s: trace path: %w", r.Peer.Short(), ErrBadPath)
	}
	if err := r.ShardPath.Check(PayloadLeaf(r.Peer, r.Shard, r.Payload, r.Salt), r.End.Payload); err != nil {
		return fmt.Errorf("reveal of %s: payload of shard %d: %w", r.Peer.Short(), r.Shard, err)
	}
	if err := r.StartPath.Check(r.Start.Leaf(), c.Trace); err != nil {
		return fmt.Errorf("reveal of %s: trace start: %w", r.Peer.Short(), err)
	}
	if err := r.EndPath.Check(r.End.Leaf(), c.Trace); err != nil {
		return fmt.Errorf("reveal of %s: trace end: %w", r.Peer.Short(), err)
	}
	if err := r.Frozen.Check(FrozenLeaf(bodyDigest(*c)), frozen); err != nil {
		return fmt.Errorf("reveal of %s: frozen root: %w", r.Peer.Short(), err)
	}
	return nil
}

// FrozenLeaf is a commit's leaf under the root of its Freeze.
func FrozenLeaf(commit Digest) Digest { return LeafHash(commit[:]) }

// Shards returns the number of shards of a model of params parameters.
func (c *CodecSpec) Shards(params int) int { return (params + c.ShardParams - 1) / c.ShardParams }

// Shard returns the half-open range of parameters of shard i.
func (c *CodecSpec) Shard(params, i int) (lo, hi int) {
	return min(i*c.ShardParams, params), min((i+1)*c.ShardParams, params)
}

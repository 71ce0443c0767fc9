package aggregate

import (
	"errors"

	"drystone/protocol"
)

// Contribution is one revealed update with its payloads, one per shard in shard order.
type Contribution struct {
	Peer     protocol.PeerID
	Steps    uint32
	Payloads [][]byte
}

// Merge merges the contributions, ascending by peer, into theta and the outer momentum (empty for sgd).
func Merge(spec *protocol.RunSpec, theta, outer []float32, contributions []Contribution) (nextTheta, nextOuter []float32, record []protocol.Merged, err error) {
	return nil, nil, nil, errors.New("not yet")
}

// VectorRoot is the protocol.MerkleRoot of a vector's little-endian float32 bytes: ModelRoot and OuterRoot.
func VectorRoot(v []float32) protocol.Digest { return protocol.Digest{} }

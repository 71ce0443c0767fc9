package verify

import (
	"fmt"

	"drystone/protocol"
)

// LeafType says what a leaf of a run's transparency log holds. The numbers are those of the aggregators' records.
type LeafType uint8

// Types of leaves that a proof refers to.
const (
	LeafJoin      LeafType = 3  // protocol.Signed[protocol.Join]
	LeafCommit    LeafType = 5  // protocol.Signed[protocol.Commit]
	LeafDraw      LeafType = 8  // protocol.Signed[protocol.Draw]
	LeafVerdict   LeafType = 9  // protocol.Signed[protocol.Verdict]
	LeafStatement LeafType = 32 // protocol.SignedStatement, once final
)

type envelope struct {
	_    struct{} `cbor:",toarray"`
	Type LeafType
	Body []byte
}

// EncodeLeaf returns the leaf that holds message v: the CBOR array of its type and its canonical encoding.
func EncodeLeaf(t LeafType, v any) ([]byte, error) {
	body, err := protocol.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("log leaf: %w", err)
	}
	b, err := protocol.Encode(envelope{Type: t, Body: body})
	if err != nil {
		return nil, fmt.Errorf("log leaf: %w", err)
	}
	return b, nil
}

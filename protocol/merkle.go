package protocol

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math/bits"
)

// LeafSize is the size in bytes of every leaf but the last of a Merkle tree over bulk data: 4096 float32 values.
const LeafSize = 16 << 10

// ErrBadPath means that a Merkle path does not lead from its leaf to the root.
var ErrBadPath = errors.New("path does not match the Merkle root")

// LeafHash and nodeHash are those of RFC 6962, section 2.1.
func LeafHash(leaf []byte) Digest {
	h := sha256.New()
	h.Write([]byte{0})
	h.Write(leaf)
	var d Digest
	h.Sum(d[:0])
	return d
}

func nodeHash(l, r Digest) Digest {
	var b [65]byte
	b[0] = 1
	copy(b[1:], l[:])
	copy(b[33:], r[:])
	return sha256.Sum256(b[:])
}

// MerkleRoot identifies bulk data: the RFC 6962 root over its LeafSize leaves. Empty data has the root of the empty
// tree, SHA-256 of nothing.
func MerkleRoot(data []byte) Digest { return RootOf(DataLeaves(data)) }

// DataLeaves returns the leaf hashes of MerkleRoot(data).
func DataLeaves(data []byte) []Digest {
	hashes := make([]Digest, 0, (len(data)+LeafSize-1)/LeafSize)
	for len(data) > 0 {
		n := min(LeafSize, len(data))
		hashes = append(hashes, LeafHash(data[:n]))
		data = data[n:]
	}
	return hashes
}

// RootOf returns the RFC 6962 root over leaf hashes. It does not change them.
func RootOf(leaves []Digest) Digest {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeHash(RootOf(leaves[:k]), RootOf(leaves[k:]))
}

// split is the largest power of two smaller than n, for n >= 2.
func split(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// Path is the audit path of one leaf of a tree (RFC 6962, section 2.1.1).
type Path struct {
	_     struct{} `cbor:",toarray"`
	Index uint64
	Size  uint64   // leaves of the tree
	Nodes []Digest // from the leaf's sibling upwards
}

// PathTo returns the path of leaf index in the tree over leaves. It panics if index is out of range.
func PathTo(leaves []Digest, index int) Path {
	if index < 0 || index >= len(leaves) {
		panic(fmt.Sprintf("protocol: leaf %d of %d", index, len(leaves)))
	}
	p := Path{Index: uint64(index), Size: uint64(len(leaves)), Nodes: []Digest{}}
	p.Nodes = appendPath(p.Nodes, leaves, index)
	return p
}

func appendPath(nodes, leaves []Digest, index int) []Digest {
	if len(leaves) == 1 {
		return nodes
	}
	k := split(len(leaves))
	if index < k {
		return append(appendPath(nodes, leaves[:k], index), RootOf(leaves[k:]))
	}
	return append(appendPath(nodes, leaves[k:], index-k), RootOf(leaves[:k]))
}

// Check verifies that the leaf with the given hash stands at p.Index of a tree of p.Size leaves with this root.
func (p Path) Check(leaf, root Digest) error {
	if p.Index >= p.Size || p.Size > 1<<48 {
		return fmt.Errorf("leaf %d of %d: %w", p.Index, p.Size, ErrBadPath)
	}
	h, rest, ok := foldPath(leaf, p.Index, p.Size, p.Nodes)
	if !ok || len(rest) != 0 || h != root {
		return fmt.Errorf("leaf %d of %d: %w", p.Index, p.Size, ErrBadPath)
	}
	return nil
}

// foldPath consumes nodes from the leaf upwards and returns the subtree's root and the nodes left over.
func foldPath(leaf Digest, index, size uint64, nodes []Digest) (Digest, []Digest, bool) {
	if size == 1 {
		return leaf, nodes, true
	}
	k := uint64(1) << (bits.Len64(size-1) - 1)
	sub, subSize := index, k
	if index >= k {
		sub, subSize = index-k, size-k
	}
	h, nodes, ok := foldPath(leaf, sub, subSize, nodes)
	if !ok || len(nodes) == 0 {
		return Digest{}, nil, false
	}
	if index < k {
		return nodeHash(h, nodes[0]), nodes[1:], true
	}
	return nodeHash(nodes[0], h), nodes[1:], true
}

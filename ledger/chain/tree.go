package chain

import (
	"bytes"
	"errors"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/math"
	"github.com/ethereum/go-ethereum/crypto"
)

// Leaf is the payout tree's leaf for one account: the double keccak256 that the package comment draws. Numbers must be
// in [0, 2^256); nil counts as zero and anything else is taken modulo 2^256.
func Leaf(chainID *big.Int, distributor common.Address, runID [32]byte, token, account common.Address, amount *big.Int) [32]byte {
	var words [6][32]byte
	words[0] = word(chainID)
	copy(words[1][12:], distributor[:])
	words[2] = runID
	copy(words[3][12:], token[:])
	copy(words[4][12:], account[:])
	words[5] = word(amount)
	buf := make([]byte, 0, 32*len(words))
	for _, w := range words {
		buf = append(buf, w[:]...)
	}
	return crypto.Keccak256Hash(crypto.Keccak256(buf))
}

// word is v as a big-endian 256-bit word.
func word(v *big.Int) (w [32]byte) {
	if v != nil {
		copy(w[:], math.U256Bytes(new(big.Int).Set(v)))
	}
	return w
}

// Errors of NewTree.
var (
	ErrEmptyTree     = errors.New("chain: a payout tree needs at least one leaf")
	ErrDuplicateLeaf = errors.New("chain: a payout tree cannot hold the same leaf twice")
)

// Tree is the Merkle tree over payout leaves. It does not change after NewTree and may be used concurrently.
type Tree struct {
	levels [][][32]byte // levels[0] holds the sorted leaves, the last level the root
}

// NewTree builds the tree over leaves in any order.
func NewTree(leaves [][32]byte) (*Tree, error) {
	if len(leaves) == 0 {
		return nil, ErrEmptyTree
	}
	level := slices.Clone(leaves)
	slices.SortFunc(level, compareHashes)
	for i := 1; i < len(level); i++ {
		if level[i] == level[i-1] {
			return nil, ErrDuplicateLeaf
		}
	}
	t := &Tree{levels: [][][32]byte{level}}
	for len(level) > 1 {
		next := make([][32]byte, 0, (len(level)+1)/2)
		for i := 0; i+1 < len(level); i += 2 {
			next = append(next, hashPair(level[i], level[i+1]))
		}
		if len(level)%2 == 1 {
			next = append(next, level[len(level)-1])
		}
		t.levels = append(t.levels, next)
		level = next
	}
	return t, nil
}

// Root is the payout root to sign and settle.
func (t *Tree) Root() [32]byte { return t.levels[len(t.levels)-1][0] }

// Proof is the sibling path of a leaf, from the bottom up; empty for a tree of one leaf. ok is false for a leaf that is
// not in the tree.
func (t *Tree) Proof(leaf [32]byte) (path [][32]byte, ok bool) {
	i, ok := slices.BinarySearchFunc(t.levels[0], leaf, compareHashes)
	if !ok {
		return nil, false
	}
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := i ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
		}
		i /= 2
	}
	return path, true
}

// VerifyProof says whether path leads from leaf to root, as the contract does.
func VerifyProof(root, leaf [32]byte, path [][32]byte) bool {
	for _, sibling := range path {
		leaf = hashPair(leaf, sibling)
	}
	return leaf == root
}

func hashPair(a, b [32]byte) [32]byte {
	if compareHashes(a, b) > 0 {
		a, b = b, a
	}
	return crypto.Keccak256Hash(a[:], b[:])
}

func compareHashes(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) }

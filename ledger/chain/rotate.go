package chain

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
)

// Rotation is what t of the registered signers sign to hand over to another set.
type Rotation struct {
	RunID     [32]byte
	Sequence  uint64           // one more than the rotations so far
	Signers   []common.Address // ascending, 1 to MaxSigners
	Threshold uint32           // 1 to the number of signers
}

var rotationType = crypto.Keccak256([]byte("Rotation(bytes32 runId,uint64 sequence,address[] signers,uint256 threshold)"))

// RotationDigest is the EIP-712 digest that replaces the signers of one distributor on one chain.
func RotationDigest(chainID *big.Int, distributor common.Address, r Rotation) [32]byte {
	sequence, threshold := word(new(big.Int).SetUint64(r.Sequence)), word(big.NewInt(int64(r.Threshold)))
	var list []byte
	for _, s := range r.Signers {
		list = append(list, common.LeftPadBytes(s[:], 32)...)
	}
	return typedDigest(chainID, distributor,
		crypto.Keccak256(rotationType, r.RunID[:], sequence[:], crypto.Keccak256(list), threshold[:]))
}

// Rotate hands in a rotation with signatures of it, in any order; anyone with gas may. The contract refuses, with a
// *RevertError, too few or foreign signatures, another sequence than the next, and an impossible set.
func (c *Client) Rotate(ctx context.Context, key *ecdsa.PrivateKey, d Deployment, r Rotation, sigs [][]byte) (*types.Receipt, error) {
	ordered, err := OrderSignatures(RotationDigest(d.ChainID, d.Distributor, r), sigs)
	if err != nil {
		return nil, fmt.Errorf("chain: rotation %d: %w", r.Sequence, err)
	}
	return c.submitOne(ctx, key, txCall{
		what: fmt.Sprintf("rotation %d of the signers", r.Sequence),
		to:   &d.Distributor,
		data: distributorABI.PackRotate(r.Sequence, r.Signers, big.NewInt(int64(r.Threshold)), ordered),
	})
}

// Rotations reads how often the signers were replaced.
func (c *Client) Rotations(ctx context.Context, d Deployment) (uint64, error) {
	contract := distributorABI.Instance(c.eth, d.Distributor)
	n, err := bind.Call(contract, at(ctx, nil), distributorABI.PackRotations(), distributorABI.UnpackRotations)
	if err != nil {
		return 0, fmt.Errorf("chain: read the rotations of the signers: %w", explain(err))
	}
	return n, nil
}

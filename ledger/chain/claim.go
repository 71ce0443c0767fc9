package chain

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
)

// Claim is an account's leaf in an epoch's payout tree, with its proof.
type Claim struct {
	Epoch      uint64         // a settled epoch
	Account    common.Address // is paid
	Cumulative *big.Int       // base units earned since the run began, as in the leaf
	Proof      [][32]byte     // Tree.Proof of the leaf
}

func (cl Claim) call(d Deployment) txCall {
	return txCall{
		what: fmt.Sprintf("claim for %s", cl.Account),
		to:   &d.Distributor,
		data: distributorABI.PackClaim(cl.Epoch, cl.Account, cl.Cumulative, cl.Proof),
	}
}

func (cl Claim) validate() error {
	if cl.Cumulative == nil || cl.Cumulative.Sign() <= 0 || cl.Cumulative.BitLen() > 256 {
		return fmt.Errorf("chain: claim for %s: amount %v is not in 1 to 2^256-1", cl.Account, cl.Cumulative)
	}
	return nil
}

// Claim pays an account what it earned and was not paid yet. Any key with gas may submit it; the money goes to
// the account. The contract refuses, with a *RevertError, an unsettled epoch, a wrong proof, and what was paid before.
func (c *Client) Claim(ctx context.Context, relay *ecdsa.PrivateKey, d Deployment, claim Claim) (*types.Receipt, error) {
	receipts, err := c.ClaimAll(ctx, relay, d, []Claim{claim})
	if err != nil {
		return nil, err
	}
	return receipts[0], nil
}

// ClaimAll submits up to MaxBatch claims in one batch, so that they can share a block. Claims that would fail are found
// before anything is sent.
func (c *Client) ClaimAll(ctx context.Context, relay *ecdsa.PrivateKey, d Deployment, claims []Claim) ([]*types.Receipt, error) {
	if len(claims) == 0 || len(claims) > MaxBatch {
		return nil, fmt.Errorf("chain: %d claims in a batch, want 1 to %d", len(claims), MaxBatch)
	}
	calls := make([]txCall, len(claims))
	for i, claim := range claims {
		if err := claim.validate(); err != nil {
			return nil, err
		}
		calls[i] = claim.call(d)
	}
	return c.submit(ctx, relay, func(common.Address, uint64) []txCall { return calls })
}

// Claimed is what an account was paid so far, in base units.
func (c *Client) Claimed(ctx context.Context, d Deployment, account common.Address) (*big.Int, error) {
	contract := distributorABI.Instance(c.eth, d.Distributor)
	v, err := bind.Call(contract, at(ctx, nil), distributorABI.PackClaimed(account), distributorABI.UnpackClaimed)
	if err != nil {
		return nil, fmt.Errorf("chain: read what %s was paid: %w", account, explain(err))
	}
	return v, nil
}

package chain

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/core/types"
)

// Settle hands in a statement with signatures of it, in any order; anyone with gas may. The contract refuses, with a
// *RevertError, too few or foreign signatures, another run, an epoch not after the last, a falling total, an increase
// above the cap per epoch or above what the escrow holds.
func (c *Client) Settle(ctx context.Context, key *ecdsa.PrivateKey, d Deployment, s SettlementStatement, sigs [][]byte) (*types.Receipt, error) {
	if s.CumulativeTotal == nil || s.CumulativeTotal.Sign() < 0 || s.CumulativeTotal.BitLen() > 256 {
		return nil, fmt.Errorf("chain: settle epoch %d: total %v is not in 0 to 2^256-1", s.Epoch, s.CumulativeTotal)
	}
	ordered, err := OrderSignatures(SettlementDigest(d.ChainID, d.Distributor, s), sigs)
	if err != nil {
		return nil, fmt.Errorf("chain: settle epoch %d: %w", s.Epoch, err)
	}
	return c.settleOrdered(ctx, key, d, s, ordered)
}

func (c *Client) settleOrdered(ctx context.Context, key *ecdsa.PrivateKey, d Deployment, s SettlementStatement, sigs [][]byte) (*types.Receipt, error) {
	return c.submitOne(ctx, key, txCall{
		what: fmt.Sprintf("settle epoch %d", s.Epoch),
		to:   &d.Distributor,
		data: distributorABI.PackSettle(s.binding(), sigs),
	})
}

// Finish ends the run after its last settled epoch and refunds the rest of the budget to the sponsor; sigs are of
// FinishDigest, in any order. Claims of what was settled stay possible.
func (c *Client) Finish(ctx context.Context, key *ecdsa.PrivateKey, d Deployment, lastEpoch uint64, sigs [][]byte) (*types.Receipt, error) {
	ordered, err := OrderSignatures(FinishDigest(d.ChainID, d.Distributor, d.RunID, lastEpoch), sigs)
	if err != nil {
		return nil, fmt.Errorf("chain: finish after epoch %d: %w", lastEpoch, err)
	}
	return c.submitOne(ctx, key, txCall{
		what: fmt.Sprintf("finish after epoch %d", lastEpoch),
		to:   &d.Distributor,
		data: distributorABI.PackFinish(lastEpoch, ordered),
	})
}

// Reclaim refunds the rest of an abandoned run's budget: nothing was settled for the idle timeout. The key must be the
// sponsor's.
func (c *Client) Reclaim(ctx context.Context, sponsor *ecdsa.PrivateKey, d Deployment) (*types.Receipt, error) {
	return c.submitOne(ctx, sponsor, txCall{what: "reclaim the budget", to: &d.Escrow, data: escrowABI.PackReclaim()})
}

// ErrNotSettled is returned for an epoch that was not settled, and by LatestSettlement before the first one.
var ErrNotSettled = errors.New("chain: epoch is not settled")

// LatestSettlement reads the last settled statement, or ErrNotSettled.
func (c *Client) LatestSettlement(ctx context.Context, d Deployment) (SettlementStatement, error) {
	contract := distributorABI.Instance(c.eth, d.Distributor)
	epoch, err := bind.Call(contract, at(ctx, nil), distributorABI.PackLastEpoch(), distributorABI.UnpackLastEpoch)
	if err != nil {
		return SettlementStatement{}, fmt.Errorf("chain: read the last epoch: %w", explain(err))
	}
	return c.SettlementAt(ctx, d, epoch)
}

// SettlementAt reads an epoch's settled statement, or ErrNotSettled. A settled statement never changes.
func (c *Client) SettlementAt(ctx context.Context, d Deployment, epoch uint64) (SettlementStatement, error) {
	contract := distributorABI.Instance(c.eth, d.Distributor)
	r, err := bind.Call(contract, at(ctx, nil), distributorABI.PackSettlements(epoch), distributorABI.UnpackSettlements)
	if err != nil {
		return SettlementStatement{}, fmt.Errorf("chain: read the settlement of epoch %d: %w", epoch, explain(err))
	}
	if r.PayoutRoot == [32]byte{} {
		return SettlementStatement{}, fmt.Errorf("%w: epoch %d of run %s", ErrNotSettled, epoch, d.RunID)
	}
	return SettlementStatement{RunID: d.RunID, Epoch: epoch, LogRoot: r.LogRoot, PayoutRoot: r.PayoutRoot,
		CumulativeTotal: r.CumulativeTotal}, nil
}

// EscrowState is what a run can still pay, all read at one block.
type EscrowState struct {
	Block        uint64
	Available    *big.Int  // base units that can still be earned
	Closed       bool      // the rest went back to the sponsor; nothing more will be settled
	LastActivity time.Time // of the last settlement, or of the deployment before the first
}

// Escrow reads the state of a run's money.
func (c *Client) Escrow(ctx context.Context, d Deployment) (EscrowState, error) {
	head, err := c.Height(ctx)
	if err != nil {
		return EscrowState{}, err
	}
	s := EscrowState{Block: head}
	contract, opts := escrowABI.Instance(c.eth, d.Escrow), at(ctx, new(big.Int).SetUint64(head))
	if s.Available, err = bind.Call(contract, opts, escrowABI.PackAvailable(), escrowABI.UnpackAvailable); err != nil {
		return EscrowState{}, fmt.Errorf("chain: read the escrow's funds: %w", explain(err))
	}
	if s.Closed, err = bind.Call(contract, opts, escrowABI.PackClosed(), escrowABI.UnpackClosed); err != nil {
		return EscrowState{}, fmt.Errorf("chain: read whether the escrow is closed: %w", explain(err))
	}
	last, err := bind.Call(contract, opts, escrowABI.PackLastActivity(), escrowABI.UnpackLastActivity)
	if err != nil {
		return EscrowState{}, fmt.Errorf("chain: read the escrow's last activity: %w", explain(err))
	}
	s.LastActivity = time.Unix(last.Int64(), 0)
	return s, nil
}

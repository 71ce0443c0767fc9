package chain

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum"
	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/rpc"
)

// txCall is a transaction to be.
type txCall struct {
	what  string          // for errors: "settle epoch 3"
	to    *common.Address // nil creates a contract
	data  []byte
	value *big.Int // wei, nil for none
	gas   uint64   // limit; 0 asks the chain, which also finds out beforehand whether it would revert
}

// errNoSender is returned for a call without a key.
var errNoSender = errors.New("chain: no key to send with")

// submitOne sends one transaction and waits for its block.
func (c *Client) submitOne(ctx context.Context, key *ecdsa.PrivateKey, call txCall) (*types.Receipt, error) {
	receipts, err := c.submit(ctx, key, func(common.Address, uint64) []txCall { return []txCall{call} })
	if err != nil {
		return nil, err
	}
	return receipts[0], nil
}

// submit sends what build makes for a sender and its next nonce, all in one batch with ascending nonces, so that they
// can share a block, and waits for the blocks. At most MaxBatch calls. When one fails its error is returned; those
// before it may have happened.
func (c *Client) submit(ctx context.Context, key *ecdsa.PrivateKey, build func(from common.Address, nonce uint64) []txCall) ([]*types.Receipt, error) {
	if key == nil {
		return nil, errNoSender
	}
	ctx, cancel := context.WithTimeout(ctx, txTimeout)
	defer cancel()
	from := crypto.PubkeyToAddress(key.PublicKey)
	calls, txs, err := c.send(ctx, key, from, build)
	if err != nil {
		return nil, err
	}
	receipts := make([]*types.Receipt, len(txs))
	for i, tx := range txs {
		r, err := bind.WaitMined(ctx, c.eth, tx.Hash())
		if err != nil {
			return nil, fmt.Errorf("chain: %s: wait for transaction %s: %w", calls[i].what, tx.Hash(), err)
		}
		if r.Status != types.ReceiptStatusSuccessful {
			return nil, fmt.Errorf("chain: %s: transaction %s failed in block %v: %w",
				calls[i].what, tx.Hash(), r.BlockNumber, c.reason(ctx, from, calls[i], r.BlockNumber))
		}
		receipts[i] = r
	}
	return receipts, nil
}

// send signs and hands in.
func (c *Client) send(ctx context.Context, key *ecdsa.PrivateKey, from common.Address, build func(common.Address, uint64) []txCall) ([]txCall, []*types.Transaction, error) {
	id, err := c.ChainID(ctx)
	if err != nil {
		return nil, nil, err
	}
	tip, feeCap, err := c.fees(ctx)
	if err != nil {
		return nil, nil, err
	}
	c.sending.Lock()
	defer c.sending.Unlock()
	nonce, err := c.eth.PendingNonceAt(ctx, from)
	if err != nil {
		return nil, nil, fmt.Errorf("chain: ask for the nonce of %s: %w", from, err)
	}
	calls := build(from, nonce)
	txs := make([]*types.Transaction, len(calls))
	batch := make([]rpc.BatchElem, len(calls))
	signer := types.LatestSignerForChainID(id)
	for i, call := range calls {
		gas, err := c.gasLimit(ctx, from, call)
		if err != nil {
			return nil, nil, err
		}
		txs[i], err = types.SignNewTx(key, signer, &types.DynamicFeeTx{ChainID: id, Nonce: nonce + uint64(i), GasTipCap: tip,
			GasFeeCap: feeCap, Gas: gas, To: call.to, Value: call.value, Data: call.data})
		if err != nil {
			return nil, nil, fmt.Errorf("chain: %s: sign transaction: %w", call.what, err)
		}
		raw, err := txs[i].MarshalBinary()
		if err != nil {
			return nil, nil, fmt.Errorf("chain: %s: encode transaction: %w", call.what, err)
		}
		batch[i] = rpc.BatchElem{Method: sendMethod, Args: []any{hexutil.Bytes(raw)}, Result: new(common.Hash)}
	}
	if err := c.rpc.BatchCallContext(ctx, batch); err != nil {
		return nil, nil, fmt.Errorf("chain: %s: send: %w", calls[0].what, err)
	}
	for i, elem := range batch {
		if elem.Error != nil {
			return nil, nil, fmt.Errorf("chain: %s: send: %w", calls[i].what, explain(elem.Error))
		}
	}
	return calls, txs, nil
}

// fees are the tip and the fee cap per gas: the cap leaves room for six full blocks.
func (c *Client) fees(ctx context.Context) (tip, feeCap *big.Int, err error) {
	if tip, err = c.eth.SuggestGasTipCap(ctx); err != nil {
		return nil, nil, fmt.Errorf("chain: ask for the fee: %w", err)
	}
	head, err := c.eth.HeaderByNumber(ctx, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("chain: ask for the latest block: %w", err)
	}
	if head.BaseFee == nil {
		return nil, nil, errors.New("chain: the endpoint's chain has no base fee (EIP-1559), which is needed here")
	}
	return tip, new(big.Int).Add(tip, new(big.Int).Mul(head.BaseFee, big.NewInt(2))), nil
}

// gasLimit is the call's own, or the chain's estimate and a quarter.
func (c *Client) gasLimit(ctx context.Context, from common.Address, call txCall) (uint64, error) {
	if call.gas != 0 {
		return call.gas, nil
	}
	gas, err := c.eth.EstimateGas(ctx, ethereum.CallMsg{From: from, To: call.to, Data: call.data, Value: call.value})
	if err != nil {
		return 0, fmt.Errorf("chain: %s: %w", call.what, explain(err))
	}
	return gas + gas/4, nil
}

// reason finds out why a transaction failed by running it once more on the state before its block.
func (c *Client) reason(ctx context.Context, from common.Address, call txCall, block *big.Int) error {
	before := new(big.Int).Sub(block, big.NewInt(1))
	msg := ethereum.CallMsg{From: from, To: call.to, Data: call.data, Value: call.value, Gas: call.gas}
	if _, err := c.eth.CallContract(ctx, msg, before); err != nil {
		return explain(err)
	}
	return &RevertError{Name: "unknown"}
}

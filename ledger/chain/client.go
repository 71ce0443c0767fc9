package chain

import (
	"context"
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/ethclient"
	"github.com/ethereum/go-ethereum/rpc"

	"drystone/ledger/chain/bindings"
)

// txTimeout bounds the wait for a transaction's block, beyond what the caller's context says.
const txTimeout = 3 * time.Minute

// The contracts' bindings; they hold no state.
var (
	tokenABI       = bindings.NewRunToken()
	escrowABI      = bindings.NewRunEscrow()
	distributorABI = bindings.NewDistributor()
)

// Client deploys, settles, claims and reads over any JSON-RPC connection. It may be used concurrently; transactions of
// one Client get their nonces in turn. Two Clients that send for one key at the same time can collide, and the later
// transaction then fails.
//
// Methods that send return when the transaction is in a block, with its receipt. A contract that refuses gives a
// *RevertError.
type Client struct {
	rpc *rpc.Client
	eth *ethclient.Client

	idMu    sync.Mutex
	chainID *big.Int // nil until asked

	sending sync.Mutex // held from reading a nonce to handing in the transactions that use it
}

// NewClient works over an open connection, which stays the caller's to close.
func NewClient(c *rpc.Client) *Client { return &Client{rpc: c, eth: ethclient.NewClient(c)} }

// ChainID asks the connection once and remembers.
func (c *Client) ChainID(ctx context.Context) (*big.Int, error) {
	c.idMu.Lock()
	defer c.idMu.Unlock()
	if c.chainID == nil {
		id, err := c.eth.ChainID(ctx)
		if err != nil {
			return nil, fmt.Errorf("chain: ask for the chain id: %w", err)
		}
		c.chainID = id
	}
	return new(big.Int).Set(c.chainID), nil
}

// Height is the number of the latest block.
func (c *Client) Height(ctx context.Context) (uint64, error) {
	n, err := c.eth.BlockNumber(ctx)
	if err != nil {
		return 0, fmt.Errorf("chain: ask for the height: %w", err)
	}
	return n, nil
}

// GasBalance is an account's native balance in wei.
func (c *Client) GasBalance(ctx context.Context, account common.Address) (*big.Int, error) {
	b, err := c.eth.BalanceAt(ctx, account, nil)
	if err != nil {
		return nil, fmt.Errorf("chain: ask for the gas of %s: %w", account, err)
	}
	return b, nil
}

// Transfer sends wei, which pay for gas.
func (c *Client) Transfer(ctx context.Context, key *ecdsa.PrivateKey, to common.Address, wei *big.Int) (*types.Receipt, error) {
	return c.submitOne(ctx, key, txCall{what: "transfer gas", to: &to, value: wei})
}

// BalanceOf is an account's token balance in base units.
func (c *Client) BalanceOf(ctx context.Context, token, account common.Address) (*big.Int, error) {
	contract := tokenABI.Instance(c.eth, token)
	b, err := bind.Call(contract, at(ctx, nil), tokenABI.PackBalanceOf(account), tokenABI.UnpackBalanceOf)
	if err != nil {
		return nil, fmt.Errorf("chain: balance of %s: %w", account, explain(err))
	}
	return b, nil
}

// at reads at a block, or at the latest one when it is nil.
func at(ctx context.Context, block *big.Int) *bind.CallOpts {
	return &bind.CallOpts{Context: ctx, BlockNumber: block}
}

package chain

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"

	"drystone/ledger/chain/bindings"
)

// MaxSigners is the most signers that a Distributor registers.
const MaxSigners = 64

// DeployParams are the terms of a run's contracts. Amounts are in base units: 10^18 of them make a token.
type DeployParams struct {
	RunID       [32]byte
	Signers     []common.Address // in any order, without duplicates; 1 to MaxSigners
	Threshold   int              // signatures that settle an epoch, 1 to len(Signers)
	Budget      *big.Int         // what the run can pay out in all; minted to the sponsor and put into the escrow
	EpochCap    *big.Int         // most that one epoch can add
	IdleTimeout time.Duration    // without a settlement for so long, the sponsor may take the rest back; whole seconds
	TokenName   string           // 1 to 31 bytes
	TokenSymbol string           // 1 to 31 bytes
	TokenCap    *big.Int         // most tokens that can ever exist; nil for the budget
}

// Validate says what is wrong with the terms.
func (p DeployParams) Validate() error {
	n := len(p.Signers)
	positive := func(v *big.Int) bool { return v != nil && v.Sign() > 0 && v.BitLen() <= 256 }
	switch {
	case p.RunID == [32]byte{}:
		return errors.New("chain: deploy: RunID is zero")
	case n == 0 || n > MaxSigners:
		return fmt.Errorf("chain: deploy: %d signers, want 1 to %d", n, MaxSigners)
	case p.Threshold < 1 || p.Threshold > n:
		return fmt.Errorf("chain: deploy: threshold %d, want 1 to %d", p.Threshold, n)
	case !positive(p.Budget) || !positive(p.EpochCap) || !positive(p.cap()):
		return errors.New("chain: deploy: Budget, EpochCap and TokenCap must be in 1 to 2^256-1")
	case p.cap().Cmp(p.Budget) < 0:
		return fmt.Errorf("chain: deploy: TokenCap %v is below Budget %v", p.TokenCap, p.Budget)
	case p.IdleTimeout < time.Second:
		return fmt.Errorf("chain: deploy: IdleTimeout %v, want a second or more", p.IdleTimeout)
	case p.TokenName == "" || len(p.TokenName) > 31 || p.TokenSymbol == "" || len(p.TokenSymbol) > 31:
		return errors.New("chain: deploy: TokenName and TokenSymbol must be 1 to 31 bytes")
	}
	signers := p.sortedSigners()
	for i, s := range signers {
		if s == (common.Address{}) || i > 0 && s == signers[i-1] {
			return fmt.Errorf("chain: deploy: signer %s is zero or named twice", s)
		}
	}
	return nil
}

func (p DeployParams) cap() *big.Int {
	if p.TokenCap == nil {
		return p.Budget
	}
	return p.TokenCap
}

func (p DeployParams) sortedSigners() []common.Address {
	signers := slices.Clone(p.Signers)
	slices.SortFunc(signers, common.Address.Cmp)
	return signers
}

// tokenCode and distributorCode are what the creating transactions carry: code and terms.
func (p DeployParams) tokenCode(sponsor common.Address) []byte {
	return slices.Concat(common.FromHex(bindings.RunTokenMetaData.Bin),
		tokenABI.PackConstructor(p.TokenName, p.TokenSymbol, p.cap(), sponsor, p.Budget))
}

func (p DeployParams) distributorCode(sponsor, token common.Address) []byte {
	return slices.Concat(common.FromHex(bindings.DistributorMetaData.Bin),
		distributorABI.PackConstructor(bindings.DistributorConfig{
			RunId: p.RunID, Token: token, Sponsor: sponsor, EpochCap: p.EpochCap,
			IdleTimeout: big.NewInt(int64(p.IdleTimeout / time.Second)),
			Signers:     p.sortedSigners(), Threshold: big.NewInt(int64(p.Threshold)),
		}))
}

// Deployment says where a run's contracts are. It is public, and worth nothing unverified.
type Deployment struct {
	ChainID       *big.Int       `json:"chainId"`
	RunID         common.Hash    `json:"runId"`
	Sponsor       common.Address `json:"sponsor"`
	Token         common.Address `json:"token"`
	Distributor   common.Address `json:"distributor"`
	Escrow        common.Address `json:"escrow"`
	TokenTx       common.Hash    `json:"tokenTx"`       // the transactions that created them
	DistributorTx common.Hash    `json:"distributorTx"` // (the Distributor creates the Escrow)
	Block         uint64         `json:"block"`         // no event of the run is in an earlier block
}

// Deploy creates a run's contracts and pays the budget into the escrow: four transactions, one block if they fit. The
// key is the sponsor's; it needs gas.
func (c *Client) Deploy(ctx context.Context, key *ecdsa.PrivateKey, p DeployParams) (Deployment, error) {
	if err := p.Validate(); err != nil {
		return Deployment{}, err
	}
	id, err := c.ChainID(ctx)
	if err != nil {
		return Deployment{}, err
	}
	d := Deployment{ChainID: id, RunID: p.RunID}
	receipts, err := c.submit(ctx, key, func(from common.Address, nonce uint64) []txCall {
		d.Sponsor = from
		d.Token = crypto.CreateAddress(from, nonce)
		d.Distributor = crypto.CreateAddress(from, nonce+1)
		d.Escrow = crypto.CreateAddress(d.Distributor, 1)
		// The last two cannot be estimated before the first two are in a block; generous limits let them share it.
		return []txCall{
			{what: "create token", data: p.tokenCode(from)},
			{what: "create distributor", data: p.distributorCode(from, d.Token)},
			{what: "approve budget", to: &d.Token, data: tokenABI.PackApprove(d.Escrow, p.Budget), gas: 100_000},
			{what: "fund escrow", to: &d.Escrow, data: escrowABI.PackFund(p.Budget), gas: 200_000},
		}
	})
	if err != nil {
		return Deployment{}, err
	}
	d.TokenTx, d.DistributorTx = receipts[0].TxHash, receipts[1].TxHash
	d.Block = receipts[0].BlockNumber.Uint64()
	return d, nil
}

// ErrDeployment is returned when a deployment is not what its terms say.
var ErrDeployment = errors.New("chain: deployment does not match its terms")

// Verify checks a deployment against the terms that the caller knows: the chain, the transactions that created the
// contracts byte for byte, code and terms, and the addresses that follow from them. A contract's code and state are a
// function of that, whereas code found at an address could come with any state. How much money is there is Escrow's
// answer. It returns ErrDeployment when something differs, and another error when the chain could not be asked.
func (c *Client) Verify(ctx context.Context, d Deployment, p DeployParams) error {
	if err := p.Validate(); err != nil {
		return err
	}
	id, err := c.ChainID(ctx)
	if err != nil {
		return err
	}
	switch {
	case d.ChainID == nil || id.Cmp(d.ChainID) != 0:
		return fmt.Errorf("%w: it is on chain %v, the connection is to chain %v", ErrDeployment, d.ChainID, id)
	case d.RunID != p.RunID:
		return fmt.Errorf("%w: it is of run %s", ErrDeployment, d.RunID)
	case d.Escrow != crypto.CreateAddress(d.Distributor, 1):
		return fmt.Errorf("%w: %s is not the distributor's escrow", ErrDeployment, d.Escrow)
	}
	if err := c.verifyCreation(ctx, d, "token", d.TokenTx, d.Token, p.tokenCode(d.Sponsor)); err != nil {
		return err
	}
	return c.verifyCreation(ctx, d, "distributor", d.DistributorTx, d.Distributor, p.distributorCode(d.Sponsor, d.Token))
}

func (c *Client) verifyCreation(ctx context.Context, d Deployment, what string, hash common.Hash, address common.Address, code []byte) error {
	tx, pending, err := c.eth.TransactionByHash(ctx, hash)
	if err != nil {
		return fmt.Errorf("chain: ask for the transaction %s that created the %s: %w", hash, what, err)
	}
	if tx.Hash() != hash || pending {
		return fmt.Errorf("%w: transaction %s of the %s is not in a block", ErrDeployment, hash, what)
	}
	receipt, err := c.eth.TransactionReceipt(ctx, hash)
	if err != nil {
		return fmt.Errorf("chain: ask for the receipt of %s: %w", hash, err)
	}
	sender, err := types.Sender(types.LatestSignerForChainID(d.ChainID), tx)
	switch {
	case err != nil || sender != d.Sponsor:
		return fmt.Errorf("%w: the %s was not created by its sponsor %s", ErrDeployment, what, d.Sponsor)
	case tx.To() != nil || crypto.CreateAddress(sender, tx.Nonce()) != address:
		return fmt.Errorf("%w: transaction %s did not create the %s at %s", ErrDeployment, hash, what, address)
	case receipt.Status != types.ReceiptStatusSuccessful:
		return fmt.Errorf("%w: creation of the %s failed", ErrDeployment, what)
	case receipt.BlockNumber == nil || receipt.BlockNumber.Uint64() < d.Block:
		return fmt.Errorf("%w: the %s is older than block %d", ErrDeployment, what, d.Block)
	case !bytes.Equal(tx.Data(), code):
		return fmt.Errorf("%w: the %s was created with other code or other terms", ErrDeployment, what)
	}
	return nil
}

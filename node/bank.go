package node

import (
	"context"
	"crypto/ecdsa"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"drystone/aggregate"
	"drystone/gossip"
	"drystone/internal/durable"
	"drystone/ledger/chain"
	"drystone/protocol"
)

// idleRefund is how long a run must have settled nothing before its sponsor may take the rest of the budget back.
const idleRefund = 30 * 24 * time.Hour

// bank is the ledger host's part: the embedded chain, the run's contracts on it, settlements handed in and claims
// relayed. The founder runs it and pays the gas.
type bank struct {
	key   *ecdsa.PrivateKey
	chain *chain.Chain
	at    *chain.Client
	path  string // of deployment.json

	mu         sync.Mutex // serialises settlements and claims
	deployment chain.Deployment
}

// evmKey is the wallet's view of a peer key.
func evmKey(k protocol.Key) (*ecdsa.PrivateKey, error) {
	secret := k.Secret()
	key, err := crypto.ToECDSA(secret[:])
	if err != nil {
		return nil, fmt.Errorf("wallet key: %w", err)
	}
	return key, nil
}

// chainID derives an embedded chain's ID from the RunID, so that a signature for one run's chain means nothing on
// another's: 2^52 plus 52 bits, out of the range of public chains.
func chainID(run protocol.Digest) uint64 { return 1<<52 | binary.BigEndian.Uint64(run[:8])>>12 }

func openBank(ctx context.Context, m *member) (*bank, error) {
	key, err := evmKey(m.cfg.Key)
	if err != nil {
		return nil, err
	}
	c, err := chain.Open(ctx, chain.Config{
		Dir: m.path("chain"), ChainID: chainID(m.run), GasPayer: crypto.PubkeyToAddress(key.PublicKey), Logger: m.cfg.Log,
	})
	if err != nil {
		return nil, err
	}
	b := &bank{key: key, chain: c, at: chain.NewClient(c.RPC()), path: m.path("deployment.json")}
	data, err := os.ReadFile(b.path)
	if errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.deployment)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("deployment record %s: %w", b.path, err), c.Close())
	}
	return b, nil
}

func (b *bank) close() error { return b.chain.Close() }

// tokens converts whole tokens into the smallest unit.
func tokens(n uint64) *big.Int {
	return new(big.Int).Mul(new(big.Int).SetUint64(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(18), nil))
}

// deployParams are the contract terms that follow from a RunSpec and its aggregators: anyone can derive them.
func deployParams(spec *protocol.RunSpec, run protocol.Digest, set []protocol.Aggregator) (chain.DeployParams, error) {
	p := chain.DeployParams{
		RunID: run, Threshold: spec.Quorum.Threshold,
		Budget: tokens(spec.Payout.Budget), EpochCap: tokens(spec.Payout.EpochCap), IdleTimeout: idleRefund,
		TokenName: "Drystone " + spec.Payout.Symbol, TokenSymbol: spec.Payout.Symbol,
	}
	for _, a := range set {
		addr, err := a.ID.Address()
		if err != nil {
			return p, err
		}
		p.Signers = append(p.Signers, common.Address(addr))
	}
	return p, nil
}

// deploy creates the run's contracts, or finds those of an earlier attempt, and names them for the Genesis.
func (b *bank) deploy(ctx context.Context, spec *protocol.RunSpec, run protocol.Digest, set []protocol.Aggregator) (protocol.Ledger, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	host := protocol.PeerID(crypto.CompressPubkey(&b.key.PublicKey))
	params, err := deployParams(spec, run, set)
	if err != nil {
		return protocol.Ledger{}, err
	}
	if b.deployment.ChainID == nil || b.at.Verify(ctx, b.deployment, params) != nil {
		d, err := b.at.Deploy(ctx, b.key, params)
		if err != nil {
			return protocol.Ledger{}, fmt.Errorf("deploy the run's contracts: %w", err)
		}
		data, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return protocol.Ledger{}, err
		}
		if err := durable.WriteFile(b.path, data, 0o600); err != nil {
			return protocol.Ledger{}, err
		}
		b.deployment = d
	}
	d := b.deployment
	return protocol.Ledger{
		ChainID: d.ChainID.Uint64(), Token: protocol.Address(d.Token), Escrow: protocol.Address(d.Escrow),
		Distributor: protocol.Address(d.Distributor), Sponsor: protocol.Address(d.Sponsor),
		TokenTx: protocol.Digest(d.TokenTx), DistributorTx: protocol.Digest(d.DistributorTx), Block: d.Block, Host: host,
	}, nil
}

// deploymentOf is the Genesis's ledger as the chain client takes it.
func deploymentOf(run protocol.Digest, l protocol.Ledger) chain.Deployment {
	return chain.Deployment{
		ChainID: new(big.Int).SetUint64(l.ChainID), RunID: common.Hash(run), Sponsor: common.Address(l.Sponsor),
		Token: common.Address(l.Token), Distributor: common.Address(l.Distributor), Escrow: common.Address(l.Escrow),
		TokenTx: common.Hash(l.TokenTx), DistributorTx: common.Hash(l.DistributorTx), Block: l.Block,
	}
}

// settled returns the last epoch that stands on the chain, 0 for none.
func (b *bank) settled(ctx context.Context) (uint64, error) {
	last, err := b.at.LatestSettlement(ctx, b.deployment)
	switch {
	case errors.Is(err, chain.ErrNotSettled):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read the chain's last settlement: %w", err)
	}
	return last.Epoch, nil
}

// settle hands in an epoch that the aggregators signed. It gives false for one that the chain has already.
func (b *bank) settle(ctx context.Context, e *aggregate.SettledEpoch) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if last, err := b.settled(ctx); err != nil || last >= e.Settlement.Epoch {
		return false, err
	}
	sigs := make([][]byte, len(e.Sigs))
	for i := range e.Sigs {
		sigs[i] = e.Sigs[i].Sig[:]
	}
	if _, err := b.at.Settle(ctx, b.key, b.deployment, settlementStatement(e.Settlement), sigs); err != nil {
		return false, fmt.Errorf("settle epoch %d on the chain: %w", e.Settlement.Epoch, err)
	}
	return true, nil
}

// claim pays an account what the latest settled epoch owes it.
func (b *bank) claim(ctx context.Context, run protocol.Digest, e *aggregate.SettledEpoch, account protocol.Address) (*Claim, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &Claim{Account: account, Paid: "0", GasBy: protocol.PeerID(crypto.CompressPubkey(&b.key.PublicKey))}
	proof, err := payoutProof(run, b.deployment, e, account)
	if err != nil {
		return nil, err
	}
	before, err := b.at.Claimed(ctx, b.deployment, common.Address(account))
	if err != nil {
		return nil, err
	}
	if due := new(big.Int).Sub(proof.Cumulative, before); due.Sign() > 0 {
		receipt, err := b.at.Claim(ctx, b.key, b.deployment, *proof)
		if err != nil {
			return nil, fmt.Errorf("claim for %s: %w", account, err)
		}
		c.Paid, c.Tx = due.String(), receipt.TxHash.Hex()
	}
	balance, err := b.at.BalanceOf(ctx, b.deployment.Token, common.Address(account))
	if err != nil {
		return nil, err
	}
	c.Balance = balance.String()
	return c, nil
}

// serve lets others reach the chain and have claims relayed. latest returns the newest settled epoch, or nil, once it
// stands on the chain.
func (b *bank) serve(m *member, latest func(context.Context) (*aggregate.SettledEpoch, error)) {
	m.host.Handle(callChain, maxChainCall, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		return b.chain.Handler().Serve(ctx, req)
	})
	m.host.Handle(callClaim, maxSmall, func(ctx context.Context, _ protocol.PeerID, req []byte) ([]byte, error) {
		if len(req) != 20 {
			return nil, gossip.Errorf(gossip.CodeBad, "a claim names an account of 20 bytes")
		}
		e, err := latest(ctx)
		if err != nil {
			return nil, err
		}
		if e == nil {
			return nil, gossip.Errorf(gossip.CodeNotFound, "no epoch is settled yet")
		}
		c, err := b.claim(ctx, m.run, e, protocol.Address(req))
		if errors.Is(err, errNothingEarned) {
			return nil, gossip.Errorf(gossip.CodeNotFound, "%v", err)
		}
		if err != nil {
			return nil, err
		}
		return json.Marshal(c)
	})
}

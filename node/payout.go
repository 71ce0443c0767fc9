package node

import (
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/common"

	"drystone/aggregate"
	"drystone/ledger"
	"drystone/ledger/chain"
	"drystone/protocol"
)

// errNothingEarned means that an account is not among an epoch's payouts.
var errNothingEarned = errors.New("has earned nothing yet")

func settlementStatement(s protocol.Settlement) chain.SettlementStatement {
	return chain.SettlementStatement{RunID: s.Run, Epoch: s.Epoch, LogRoot: s.LogRoot, PayoutRoot: s.PayoutRoot, CumulativeTotal: s.Total.Big()}
}

// payoutTree is the contract's Merkle tree over payouts.
func payoutTree(run protocol.Digest, d chain.Deployment, payouts []protocol.Payout) (*chain.Tree, error) {
	leaves := make([][32]byte, len(payouts))
	for i, p := range payouts {
		leaves[i] = payoutLeaf(run, d, p)
	}
	return chain.NewTree(leaves)
}

func payoutLeaf(run protocol.Digest, d chain.Deployment, p protocol.Payout) [32]byte {
	return chain.Leaf(d.ChainID, d.Distributor, run, d.Token, common.Address(p.Account), p.Cumulative.Big())
}

// payoutProof is an account's claim on a settled epoch.
func payoutProof(run protocol.Digest, d chain.Deployment, e *aggregate.SettledEpoch, account protocol.Address) (*chain.Claim, error) {
	tree, err := payoutTree(run, d, e.Payouts)
	if err != nil {
		return nil, err
	}
	for _, p := range e.Payouts {
		if p.Account != account {
			continue
		}
		path, ok := tree.Proof(payoutLeaf(run, d, p))
		if !ok {
			return nil, fmt.Errorf("account %s: no path in the payout tree", account)
		}
		return &chain.Claim{Epoch: e.Settlement.Epoch, Account: common.Address(account), Cumulative: p.Cumulative.Big(), Proof: path}, nil
	}
	return nil, fmt.Errorf("account %s %w", account, errNothingEarned)
}

// propose computes an epoch's settlement from the work that stands. Every aggregator gets the same.
func proposeSettlement(spec *protocol.RunSpec, run protocol.Digest, d chain.Deployment, duty aggregate.DutySettle) (protocol.Settlement, []protocol.Payout, error) {
	work := make([]ledger.Work, len(duty.Work))
	for i, w := range duty.Work {
		work[i] = ledger.Work{Round: w.Round, Peer: w.Peer, Account: w.Account, Tokens: w.Tokens}
	}
	payouts, total, err := ledger.Settle(spec.Payout, duty.Previous, work)
	if err != nil {
		return protocol.Settlement{}, nil, err
	}
	s := protocol.Settlement{Run: run, Epoch: duty.Epoch, LogRoot: duty.LogRoot, Total: protocol.AmountOf(total)}
	s.PayoutRoot, err = payoutRoot(run, d, payouts)
	return s, payouts, err
}

// payoutRoot is the root of the payout tree. An epoch in which nobody ever earned anything has no tree; the contract
// wants a root that is not zero, so it gets a digest that no leaf can stand under.
func payoutRoot(run protocol.Digest, d chain.Deployment, payouts []protocol.Payout) (protocol.Digest, error) {
	if len(payouts) == 0 {
		return protocol.Hash("no-payouts", run[:]), nil
	}
	tree, err := payoutTree(run, d, payouts)
	if err != nil {
		return protocol.Digest{}, err
	}
	return tree.Root(), nil
}

// verifySettlement is what the state machine asks of a proposed settlement: that the root and total are those of the
// payouts, and that the signature is the aggregator's.
func verifySettlement(run protocol.Digest, d chain.Deployment) func(protocol.Settlement, []protocol.Payout, protocol.PeerID, protocol.EVMSignature) error {
	return func(s protocol.Settlement, payouts []protocol.Payout, signer protocol.PeerID, sig protocol.EVMSignature) error {
		root, err := payoutRoot(run, d, payouts)
		if err != nil {
			return err
		}
		total := new(big.Int)
		for _, p := range payouts {
			total.Add(total, p.Cumulative.Big())
		}
		if root != s.PayoutRoot || total.Cmp(s.Total.Big()) != 0 {
			return fmt.Errorf("settlement of epoch %d: root or total is not that of its payouts", s.Epoch)
		}
		want, err := signer.Address()
		if err != nil {
			return err
		}
		got, err := chain.Recover(chain.SettlementDigest(d.ChainID, d.Distributor, settlementStatement(s)), sig[:])
		if err != nil {
			return err
		}
		if got != common.Address(want) {
			return fmt.Errorf("settlement of epoch %d: signed by %s, not by %s", s.Epoch, got, want)
		}
		return nil
	}
}

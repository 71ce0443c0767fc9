package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"drystone/protocol"
)

// Decimals of a token: one token is 10^Decimals base units.
const Decimals = 18

// Errors of Settle.
var (
	ErrDuplicateWork = errors.New("the same work is listed twice")
	ErrBadPayouts    = errors.New("earlier payouts are not a result of this run")
)

// Work is one contribution that stands: Tokens training tokens by Peer in Round, earned for Account.
type Work struct {
	Round   uint32
	Peer    protocol.PeerID
	Account protocol.Address
	Tokens  uint64
}

var (
	baseUnits  = new(big.Int).Exp(big.NewInt(10), big.NewInt(Decimals), nil)
	perMillion = big.NewInt(1_000_000)
)

// Units returns whole tokens in base units.
func Units(tokens uint64) *big.Int {
	return new(big.Int).Mul(new(big.Int).SetUint64(tokens), baseUnits)
}

// Epoch returns the epoch, from 1, that a round belongs to.
func Epoch(spec protocol.PayoutSpec, round uint32) uint64 {
	return uint64(round)/uint64(max(spec.EpochRounds, 1)) + 1
}

// Earned returns what tokens of training earn before any cap, in base units. It is exact.
func Earned(spec protocol.PayoutSpec, tokens uint64) *big.Int {
	v := new(big.Int).Mul(new(big.Int).SetUint64(tokens), Units(spec.PerMillion))
	return v.Quo(v, perMillion)
}

// Settle adds the work of one epoch to the payouts of the one before (nil for the first), by the rule in the package
// comment. payouts is cumulative, ascending by account, and keeps accounts that earned nothing this time; total is its
// sum. The order of work does not matter. It fails if one peer's round is listed twice, or if prev is not ascending or
// exceeds the budget.
func Settle(spec protocol.PayoutSpec, prev []protocol.Payout, work []Work) (payouts []protocol.Payout, total *big.Int, err error) {
	sums, paid, err := totals(spec, prev)
	if err != nil {
		return nil, nil, fmt.Errorf("settle: %w", err)
	}
	earned, err := earnings(spec, work)
	if err != nil {
		return nil, nil, fmt.Errorf("settle: %w", err)
	}
	all := new(big.Int)
	for _, e := range earned {
		all.Add(all, e)
	}
	limit := Units(spec.EpochCap)
	if left := new(big.Int).Sub(Units(spec.Budget), paid); left.Cmp(limit) < 0 {
		limit = left
	}
	for account, e := range earned {
		if all.Cmp(limit) > 0 {
			e.Quo(e.Mul(e, limit), all)
		}
		if e.Sign() == 0 {
			continue
		}
		if sums[account] == nil {
			sums[account] = new(big.Int)
		}
		sums[account].Add(sums[account], e)
	}
	total = new(big.Int)
	payouts = make([]protocol.Payout, 0, len(sums))
	for account, sum := range sums {
		total.Add(total, sum)
		payouts = append(payouts, protocol.Payout{Account: account, Cumulative: protocol.AmountOf(sum)})
	}
	slices.SortFunc(payouts, func(a, b protocol.Payout) int { return bytes.Compare(a.Account[:], b.Account[:]) })
	return payouts, total, nil
}

// totals reads earlier payouts and their sum.
func totals(spec protocol.PayoutSpec, prev []protocol.Payout) (map[protocol.Address]*big.Int, *big.Int, error) {
	sums, paid := make(map[protocol.Address]*big.Int, len(prev)), new(big.Int)
	for i, p := range prev {
		if i > 0 && bytes.Compare(prev[i-1].Account[:], p.Account[:]) >= 0 {
			return nil, nil, fmt.Errorf("account %s is out of order: %w", p.Account, ErrBadPayouts)
		}
		sums[p.Account] = p.Cumulative.Big()
		paid.Add(paid, sums[p.Account])
	}
	if budget := Units(spec.Budget); paid.Cmp(budget) > 0 {
		return nil, nil, fmt.Errorf("%s base units paid of a budget of %s: %w", paid, budget, ErrBadPayouts)
	}
	return sums, paid, nil
}

// earnings sums what each account earns before any cap.
func earnings(spec protocol.PayoutSpec, work []Work) (map[protocol.Address]*big.Int, error) {
	type job struct {
		round uint32
		peer  protocol.PeerID
	}
	seen := make(map[job]bool, len(work))
	earned := map[protocol.Address]*big.Int{}
	for _, w := range work {
		if j := (job{w.Round, w.Peer}); seen[j] {
			return nil, fmt.Errorf("peer %s in round %d: %w", w.Peer.Short(), w.Round, ErrDuplicateWork)
		} else {
			seen[j] = true
		}
		if earned[w.Account] == nil {
			earned[w.Account] = new(big.Int)
		}
		earned[w.Account].Add(earned[w.Account], Earned(spec, w.Tokens))
	}
	return earned, nil
}

// LeafHasher hashes an account's cumulative payout into a leaf of the payout tree, bound to one chain, contract, run and
// token; chain.Leaf is one with those fixed.
type LeafHasher func(account protocol.Address, cumulative *big.Int) [32]byte

// Leaves returns the leaf of every payout, in their order.
func Leaves(payouts []protocol.Payout, hash LeafHasher) [][32]byte {
	leaves := make([][32]byte, len(payouts))
	for i, p := range payouts {
		leaves[i] = hash(p.Account, p.Cumulative.Big())
	}
	return leaves
}

// Find returns the payout of an account among payouts as Settle returns them.
func Find(payouts []protocol.Payout, account protocol.Address) (protocol.Payout, bool) {
	i, ok := slices.BinarySearchFunc(payouts, account, func(p protocol.Payout, a protocol.Address) int { return bytes.Compare(p.Account[:], a[:]) })
	if !ok {
		return protocol.Payout{}, false
	}
	return payouts[i], true
}

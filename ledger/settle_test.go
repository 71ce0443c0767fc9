package ledger

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/protocol"
)

func spec(budget, epochCap, perMillion uint64) protocol.PayoutSpec {
	return protocol.PayoutSpec{Symbol: "STONE", Budget: budget, EpochCap: epochCap, EpochRounds: 3, PerMillion: perMillion}
}

func account(i int) protocol.Address { return protocol.Address{19: byte(i)} }

func job(round uint32, peer, acc int, tokens uint64) Work {
	return Work{Round: round, Peer: protocol.PeerID{2, byte(peer)}, Account: account(acc), Tokens: tokens}
}

// The examples of the package comment, by hand.
func TestSettleExamples(t *testing.T) {
	tests := []struct {
		name string
		spec protocol.PayoutSpec
		prev []protocol.Payout
		work []Work
		want map[int]string // base units by account
	}{
		{"2 tokens per million", spec(1000, 100, 2), nil, []Work{job(0, 1, 1, 500_000), job(0, 2, 2, 1)},
			map[int]string{1: "1000000000000000000", 2: "2000000000000"}},
		{"one account, two peers, two rounds", spec(1000, 100, 1), nil, []Work{job(0, 1, 1, 1_000_000), job(1, 1, 1, 1_000_000), job(1, 2, 1, 1_000_000)},
			map[int]string{1: "3000000000000000000"}},
		{"cap shared in thirds", spec(1000, 1, 1), nil, []Work{job(0, 1, 1, 9_000_000), job(0, 2, 2, 9_000_000), job(0, 3, 3, 9_000_000)},
			map[int]string{1: "333333333333333333", 2: "333333333333333333", 3: "333333333333333333"}},
		{"what is left of the budget", spec(10, 10, 1), []protocol.Payout{{Account: account(1), Cumulative: protocol.AmountOf(Units(9))}}, []Work{job(0, 2, 2, 5_000_000)},
			map[int]string{1: "9000000000000000000", 2: "1000000000000000000"}},
		{"nothing left", spec(9, 9, 1), []protocol.Payout{{Account: account(1), Cumulative: protocol.AmountOf(Units(9))}}, []Work{job(0, 2, 2, 5_000_000)},
			map[int]string{1: "9000000000000000000"}},
		{"no work", spec(9, 9, 1), nil, nil, map[int]string{}},
		{"no pay", spec(9, 9, 0), nil, []Work{job(0, 1, 1, 5)}, map[int]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			payouts, total, err := Settle(tt.spec, tt.prev, tt.work)
			if err != nil {
				t.Fatal(err)
			}
			sum := new(big.Int)
			for _, p := range payouts {
				if want := tt.want[int(p.Account[19])]; p.Cumulative.String() != want {
					t.Errorf("account %s has %s, want %s", p.Account, p.Cumulative, want)
				}
				sum.Add(sum, p.Cumulative.Big())
			}
			if len(payouts) != len(tt.want) || sum.Cmp(total) != 0 {
				t.Errorf("%d payouts, want %d; total %s, sum %s", len(payouts), len(tt.want), total, sum)
			}
		})
	}
}

func TestSettleRefuses(t *testing.T) {
	unit := protocol.AmountOf(big.NewInt(1))
	for name, tt := range map[string]struct {
		prev []protocol.Payout
		work []Work
		want error
	}{
		"work twice":       {nil, []Work{job(1, 1, 1, 5), job(2, 1, 1, 5), job(1, 1, 2, 6)}, ErrDuplicateWork},
		"prev unordered":   {[]protocol.Payout{{Account: account(2), Cumulative: unit}, {Account: account(1), Cumulative: unit}}, nil, ErrBadPayouts},
		"prev twice":       {[]protocol.Payout{{Account: account(1), Cumulative: unit}, {Account: account(1), Cumulative: unit}}, nil, ErrBadPayouts},
		"prev over budget": {[]protocol.Payout{{Account: account(1), Cumulative: protocol.AmountOf(Units(11))}}, nil, ErrBadPayouts},
	} {
		if _, _, err := Settle(spec(10, 10, 1), tt.prev, tt.work); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Over any number of epochs: nobody's total falls, an epoch pays at most its cap and the run at most its budget, equal
// work earns equally, nobody earns more than the rate, rounding costs less than one base unit each, and the order of
// work does not matter.
func TestSettleProperties(t *testing.T) {
	amount := rapid.OneOf(rapid.Uint64Range(0, 10), rapid.Uint64Range(0, 1e6), rapid.Uint64Range(0, 1e15))
	rapid.Check(t, func(t *rapid.T) {
		s := spec(amount.Draw(t, "budget"), 0, rapid.Uint64Range(0, 1e12).Draw(t, "per million"))
		s.EpochCap = rapid.Uint64Range(0, s.Budget).Draw(t, "cap")
		var prev []protocol.Payout
		before := new(big.Int)
		for epoch := range rapid.IntRange(1, 4).Draw(t, "epochs") {
			work := drawWork(t, uint32(epoch))
			payouts, total, err := Settle(s, prev, work)
			if err != nil {
				t.Fatal(err)
			}
			shuffled := slices.Clone(work)
			rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			again, sameTotal, err := Settle(s, prev, shuffled)
			if err != nil || !slices.Equal(again, payouts) || sameTotal.Cmp(total) != 0 {
				t.Fatalf("order matters: %v", err)
			}
			checkEpoch(t, s, prev, payouts, work, before, total)
			prev, before = payouts, total
		}
	})
}

func drawWork(t *rapid.T, epoch uint32) []Work {
	work := []Work{}
	for i := range rapid.IntRange(0, 12).Draw(t, "contributions") {
		tokens := rapid.OneOf(rapid.Uint64Range(0, 1e7), rapid.Uint64Range(0, math.MaxUint64)).Draw(t, "tokens")
		work = append(work, job(3*epoch+uint32(i%3), i/3, rapid.IntRange(1, 5).Draw(t, "account"), tokens))
	}
	return work
}

func checkEpoch(t *rapid.T, s protocol.PayoutSpec, prev, payouts []protocol.Payout, work []Work, before, total *big.Int) {
	paid := new(big.Int).Sub(total, before)
	if paid.Sign() < 0 || paid.Cmp(Units(s.EpochCap)) > 0 || total.Cmp(Units(s.Budget)) > 0 {
		t.Fatalf("epoch paid %s of a cap of %d, total %s of a budget of %d", paid, s.EpochCap, total, s.Budget)
	}
	for _, p := range prev {
		if now, ok := Find(payouts, p.Account); !ok || now.Cumulative.Big().Cmp(p.Cumulative.Big()) < 0 {
			t.Fatalf("account %s fell from %s to %s", p.Account, p.Cumulative, now.Cumulative)
		}
	}
	tokens, all := map[protocol.Address]*big.Int{}, new(big.Int)
	for _, w := range work {
		if tokens[w.Account] == nil {
			tokens[w.Account] = new(big.Int)
		}
		tokens[w.Account].Add(tokens[w.Account], new(big.Int).SetUint64(w.Tokens))
	}
	rate := new(big.Int).Mul(new(big.Int).SetUint64(s.PerMillion), big.NewInt(1e12)) // base units per training token
	sum, gains := new(big.Int), map[protocol.Address]*big.Int{}
	for i, p := range payouts {
		if i > 0 && bytes.Compare(payouts[i-1].Account[:], p.Account[:]) >= 0 {
			t.Fatal("not ascending by account")
		}
		old, _ := Find(prev, p.Account)
		gains[p.Account] = new(big.Int).Sub(p.Cumulative.Big(), old.Cumulative.Big())
		sum.Add(sum, p.Cumulative.Big())
	}
	for a := range tokens {
		if gains[a] == nil { // an account that never earned is not listed
			gains[a] = new(big.Int)
		}
	}
	for a, n := range tokens {
		owed := new(big.Int).Mul(n, rate)
		all.Add(all, owed)
		if gains[a].Cmp(owed) > 0 {
			t.Fatalf("account %s was paid %s for work worth %s", a, gains[a], owed)
		}
		for b, m := range tokens {
			if n.Cmp(m) == 0 && gains[a].Cmp(gains[b]) != 0 {
				t.Fatalf("equal work of %s and %s earned %s and %s", a, b, gains[a], gains[b])
			}
		}
	}
	limit := new(big.Int).Sub(Units(s.Budget), before)
	for _, v := range []*big.Int{Units(s.EpochCap), all} {
		if v.Cmp(limit) < 0 {
			limit = v
		}
	}
	lost := new(big.Int).Sub(limit, paid)
	if sum.Cmp(total) != 0 || lost.Sign() < 0 || (lost.Sign() > 0 && lost.Cmp(big.NewInt(int64(len(tokens)))) >= 0) {
		t.Fatalf("total %s, sum %s, %s base units lost among %d accounts", total, sum, lost, len(tokens))
	}
}

func TestEpoch(t *testing.T) {
	for round, want := range map[uint32]uint64{0: 1, 2: 1, 3: 2, 5: 2, 6: 3, math.MaxUint32: math.MaxUint32/3 + 1} {
		if got := Epoch(spec(1, 1, 1), round); got != want {
			t.Errorf("round %d is in epoch %d, want %d", round, got, want)
		}
	}
}

func TestLeaves(t *testing.T) {
	payouts := []protocol.Payout{{Account: account(1), Cumulative: protocol.AmountOf(big.NewInt(7))}, {Account: account(2), Cumulative: protocol.AmountOf(big.NewInt(8))}}
	leaves := Leaves(payouts, func(a protocol.Address, v *big.Int) [32]byte { return [32]byte{a[19], byte(v.Int64())} })
	if !slices.Equal(leaves, [][32]byte{{1, 7}, {2, 8}}) {
		t.Fatal(leaves)
	}
	if _, ok := Find(payouts, account(3)); ok {
		t.Fatal("found an account that is not there")
	}
}

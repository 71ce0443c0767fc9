package chain

import (
	"errors"
	"math/big"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/types"
	"pgregory.net/rapid"
)

// drawPayouts draws accounts with amounts.
func drawPayouts(t *rapid.T, most int) map[common.Address]*big.Int {
	n := rapid.IntRange(1, most).Draw(t, "accounts")
	m := make(map[common.Address]*big.Int, n)
	for len(m) < n {
		account := common.BytesToAddress(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "account"))
		amount := rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(t, "amount")
		m[account] = new(big.Int).SetBytes(amount)
	}
	return m
}

// TestLeafAgainstContract: the contract computes the same leaves.
func TestLeafAgainstContract(t *testing.T) {
	r := deployRun(t)
	contract := distributorABI.Instance(r.client.eth, r.d.Distributor)
	rapid.Check(t, func(rt *rapid.T) {
		for account, amount := range drawPayouts(rt, 3) {
			leaf := Leaf(r.d.ChainID, r.d.Distributor, r.d.RunID, r.d.Token, account, amount)
			theirs, err := bind.Call(contract, at(t.Context(), nil), distributorABI.PackLeaf(account, amount), distributorABI.UnpackLeaf)
			if err != nil || theirs != leaf {
				rt.Fatalf("leaf of %s, %v: %x, the contract says %x (%v)", account, amount, leaf, theirs, err)
			}
		}
	})
}

// TestTreeAgainstContract settles epochs with random payouts: the contract takes every proof, and every account ends
// with what it earned.
func TestTreeAgainstContract(t *testing.T) {
	r := deployRun(t, func(p *DeployParams) {
		p.Budget = new(big.Int).Lsh(big.NewInt(1), 64)
		p.EpochCap = p.Budget
	})
	epochs := rapid.Custom(func(t *rapid.T) map[common.Address]*big.Int { return drawPayouts(t, 40) })
	total := new(big.Int)
	earned := map[common.Address]*big.Int{} // cumulative, like the tree's amounts
	for epoch := range uint64(8) {
		for account, amount := range epochs.Example(int(epoch)) {
			if account == (common.Address{}) {
				continue // no token moves to the zero address
			}
			more := new(big.Int).And(amount, big.NewInt(1<<32-1))
			more.Add(more, big.NewInt(1))
			if earned[account] == nil {
				earned[account] = new(big.Int)
			}
			earned[account] = new(big.Int).Add(earned[account], more)
			total.Add(total, more)
		}
		if len(earned) == 0 {
			continue
		}
		p := r.payouts(t, earned)
		s := r.statement(epoch+1, p.tree.Root(), 0)
		s.CumulativeTotal = total
		if err := r.settle(t, s); err != nil {
			t.Fatal(err)
		}
		claimUnpaid(t, r, p, epoch+1)
	}
	if total.Sign() == 0 {
		t.Fatal("nothing was earned")
	}
	if left := must[*big.Int](t)(r.client.BalanceOf(t.Context(), r.d.Token, r.d.Distributor)); left.Sign() != 0 {
		t.Errorf("all was claimed and %v are left", left)
	}
}

// claimUnpaid claims for everyone who is owed, and checks what they then have.
func claimUnpaid(t *testing.T, r *run, p payouts, epoch uint64) {
	t.Helper()
	var claims []Claim
	for account, amount := range p.amounts {
		if must[*big.Int](t)(r.client.Claimed(t.Context(), r.d, account)).Cmp(amount) < 0 {
			claims = append(claims, p.claim(t, epoch, account))
		}
	}
	for batch := range slices.Chunk(claims, MaxBatch) {
		receipts := must[[]*types.Receipt](t)(r.client.ClaimAll(t.Context(), r.relay, r.d, batch))
		// The pool may see the first before the rest; then the rest share the next block.
		first, last := receipts[0].BlockNumber.Uint64(), receipts[len(batch)-1].BlockNumber.Uint64()
		if last > first+1 {
			t.Errorf("%d claims of one batch are in blocks %d to %d", len(batch), first, last)
		}
	}
	for _, c := range claims {
		if got := must[*big.Int](t)(r.client.BalanceOf(t.Context(), r.d.Token, c.Account)); got.Cmp(c.Cumulative) != 0 {
			t.Fatalf("%s has %v, earned %v", c.Account, got, c.Cumulative)
		}
	}
}

// TestTree: every leaf has a proof, no other value has, and the order of the leaves does not matter.
func TestTree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.Custom(func(t *rapid.T) [32]byte {
			return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "leaf"))
		})
		leaves := rapid.SliceOfNDistinct(gen, 1, 70, rapid.ID[[32]byte]).Draw(t, "leaves")
		tree, err := NewTree(leaves)
		if err != nil {
			t.Fatal(err)
		}
		shuffled, err := NewTree(rapid.Permutation(leaves).Draw(t, "order"))
		if err != nil || shuffled.Root() != tree.Root() {
			t.Fatalf("the root depends on the order (%v)", err)
		}
		for _, leaf := range leaves {
			path, ok := tree.Proof(leaf)
			if !ok || !VerifyProof(tree.Root(), leaf, path) {
				t.Fatalf("no proof of %x", leaf)
			}
			other := leaf
			other[rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
			if VerifyProof(tree.Root(), other, path) {
				t.Fatalf("a proof of %x holds for %x", leaf, other)
			}
		}
		if _, err := NewTree(append(leaves, leaves[0])); !errors.Is(err, ErrDuplicateLeaf) {
			t.Fatalf("twice the same leaf: %v", err)
		}
	})
	if _, err := NewTree(nil); !errors.Is(err, ErrEmptyTree) {
		t.Errorf("no leaves: %v", err)
	}
}

// TestLeafGolden pins the format for who implements it elsewhere.
func TestLeafGolden(t *testing.T) {
	leaf := Leaf(big.NewInt(7707), common.HexToAddress("0x1111111111111111111111111111111111111111"), [32]byte{31: 5},
		common.HexToAddress("0x2222222222222222222222222222222222222222"),
		common.HexToAddress("0x3333333333333333333333333333333333333333"), big.NewInt(1_000_000))
	if got := common.Hash(leaf).Hex(); got != goldenLeaf {
		t.Errorf("leaf %s, want %s", got, goldenLeaf)
	}
	if Leaf(nil, common.Address{}, [32]byte{}, common.Address{}, common.Address{}, nil) !=
		Leaf(new(big.Int), common.Address{}, [32]byte{}, common.Address{}, common.Address{}, new(big.Int)) {
		t.Error("nil does not count as zero")
	}
}

const goldenLeaf = "0x352e3b9e39473bbeac24b878abc357d272e15d08f61788b57676b30eb6bc4fa8"

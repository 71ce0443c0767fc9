package chain

import (
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"
)

// TestFlow walks a run's money from the sponsor to the contributors and the rest back.
func TestFlow(t *testing.T) {
	r := deployRun(t)
	ctx := t.Context()
	alice, bob := common.Address{0xa1}, common.Address{0xb0}

	if err := r.client.Verify(ctx, r.d, r.params); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, addressOf(r.sponsor), 0)
	wantBalance(t, r.client, r.d.Token, r.d.Escrow, 1000)
	if _, err := r.client.LatestSettlement(ctx, r.d); !errors.Is(err, ErrNotSettled) {
		t.Fatalf("before the first epoch: %v, want ErrNotSettled", err)
	}

	one := r.payouts(t, map[common.Address]*big.Int{alice: big.NewInt(100), bob: big.NewInt(50)})
	s1 := r.statement(1, one.tree.Root(), 150)
	if err := r.settle(t, s1); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, r.d.Distributor, 150)
	got := must[SettlementStatement](t)(r.client.LatestSettlement(ctx, r.d))
	if r.digest(got) != r.digest(s1) {
		t.Fatalf("settled %+v, read %+v", s1, got)
	}

	// The relay pays gas and gains nothing; the account needs no gas.
	if _, err := r.client.Claim(ctx, r.relay, r.d, one.claim(t, 1, alice)); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, alice, 100)
	wantBalance(t, r.client, r.d.Token, addressOf(r.relay), 0)
	_, err := r.client.Claim(ctx, r.relay, r.d, one.claim(t, 1, alice))
	wantRevert(t, err, "NothingToClaim")

	// Amounts are cumulative: bob missed epoch 1, and gets both at once; so does alice's difference.
	two := r.payouts(t, map[common.Address]*big.Int{alice: big.NewInt(130), bob: big.NewInt(200)})
	if err := r.settle(t, r.statement(5, two.tree.Root(), 330)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.ClaimAll(ctx, r.relay, r.d, []Claim{two.claim(t, 5, alice), two.claim(t, 5, bob)}); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, alice, 130)
	wantBalance(t, r.client, r.d.Token, bob, 200)
	_, err = r.client.Claim(ctx, r.relay, r.d, one.claim(t, 1, bob)) // an earlier root stays valid, and owes nothing
	wantRevert(t, err, "NothingToClaim")
	if paid := must[*big.Int](t)(r.client.Claimed(ctx, r.d, bob)); paid.Int64() != 200 {
		t.Errorf("claimed %v, want 200", paid)
	}

	_, err = r.client.Finish(ctx, r.relay, r.d, 1, r.signed(t, FinishDigest(r.d.ChainID, r.d.Distributor, r.d.RunID, 1), 3))
	wantRevert(t, err, "NotLastEpoch")
	end := FinishDigest(r.d.ChainID, r.d.Distributor, r.d.RunID, 5)
	_, err = r.client.Finish(ctx, r.relay, r.d, 5, r.signed(t, end, 2))
	wantRevert(t, err, "QuorumNotReached")
	if _, err := r.client.Finish(ctx, r.relay, r.d, 5, r.signed(t, end, 3)); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, addressOf(r.sponsor), 670)
	if s := must[EscrowState](t)(r.client.Escrow(ctx, r.d)); !s.Closed || s.Available.Sign() != 0 {
		t.Errorf("escrow after the end: %+v", s)
	}
	wantRevert(t, r.settle(t, r.statement(6, two.tree.Root(), 330)), "EscrowClosed")
	_, err = r.client.Finish(ctx, r.relay, r.d, 5, r.signed(t, end, 3))
	wantRevert(t, err, "EscrowClosed")
}

// TestSettleRefused: each forged or mistaken settlement, and that none of them leaves a trace.
func TestSettleRefused(t *testing.T) {
	r := deployRun(t)
	root := [32]byte{7}
	if err := r.settle(t, r.statement(2, root, 300)); err != nil {
		t.Fatal(err)
	}
	stranger := testKey("stranger")
	good := r.statement(3, root, 400)
	sign := func(n int) func(SettlementStatement) [][]byte {
		return func(s SettlementStatement) [][]byte { return r.signed(t, r.digest(s), n) }
	}
	cases := []struct {
		name   string
		change func(*SettlementStatement)
		sigs   func(SettlementStatement) [][]byte
		want   string
	}{
		{"too few", nil, sign(2), "QuorumNotReached"},
		{"none", nil, sign(0), "QuorumNotReached"},
		{"duplicate", nil, func(s SettlementStatement) [][]byte {
			sigs := sign(2)(s)
			return append(sigs, sigs[1])
		}, "SignersNotAscending"},
		{"wrong order", nil, func(s SettlementStatement) [][]byte {
			sigs := sign(3)(s)
			slices.Reverse(sigs)
			return sigs
		}, "SignersNotAscending"},
		{"stranger among them", nil, func(s SettlementStatement) [][]byte {
			sigs := append(sign(2)(s), must[[]byte](t)(Sign(r.digest(s), stranger)))
			return must[[][]byte](t)(OrderSignatures(r.digest(s), sigs))
		}, "UnknownSigner"},
		{"too many", nil, func(s SettlementStatement) [][]byte {
			return append(sign(4)(s), sign(1)(s)...)
		}, "TooManySignatures"},
		{"high s", nil, func(s SettlementStatement) [][]byte {
			sigs := sign(3)(s)
			sigs[1] = malleate(sigs[1])
			return sigs
		}, "ECDSAInvalidSignatureS"},
		{"signed for another total", nil, func(s SettlementStatement) [][]byte {
			s.CumulativeTotal = big.NewInt(399)
			return sign(3)(s)
		}, "UnknownSigner"},
		{"signed for another distributor", nil, func(s SettlementStatement) [][]byte {
			return r.signed(t, SettlementDigest(r.d.ChainID, r.d.Escrow, s), 3)
		}, "UnknownSigner"},
		{"signed for another chain", nil, func(s SettlementStatement) [][]byte {
			return r.signed(t, SettlementDigest(big.NewInt(1), r.d.Distributor, s), 3)
		}, "UnknownSigner"},
		{"another run", func(s *SettlementStatement) { s.RunID[0]++ }, sign(3), "WrongRun"},
		{"replayed epoch", func(s *SettlementStatement) { s.Epoch = 2 }, sign(3), "EpochNotAscending"},
		{"earlier epoch", func(s *SettlementStatement) { s.Epoch = 1 }, sign(3), "EpochNotAscending"},
		{"falling total", func(s *SettlementStatement) { s.CumulativeTotal = big.NewInt(299) }, sign(3), "TotalDecreased"},
		{"over the cap", func(s *SettlementStatement) { s.CumulativeTotal = big.NewInt(701) }, sign(3), "OverEpochCap"},
		{"no payout root", func(s *SettlementStatement) { s.PayoutRoot = [32]byte{} }, sign(3), "ZeroRoot"},
		{"no log root", func(s *SettlementStatement) { s.LogRoot = [32]byte{} }, sign(3), "ZeroRoot"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := good
			if tc.change != nil {
				tc.change(&s)
			}
			_, err := r.client.settleOrdered(t.Context(), r.relay, r.d, s, tc.sigs(s))
			wantRevert(t, err, tc.want)
		})
	}
	wantBalance(t, r.client, r.d.Token, r.d.Distributor, 300)
	if err := r.settle(t, good); err != nil {
		t.Fatalf("the unchanged statement: %v", err)
	}
}

// TestOverFunds: the escrow's funds bound the total, whatever the cap would still allow.
func TestOverFunds(t *testing.T) {
	r := deployRun(t)
	for epoch, total := range []int64{400, 800} {
		if err := r.settle(t, r.statement(uint64(epoch+1), [32]byte{7}, total)); err != nil {
			t.Fatal(err)
		}
	}
	wantRevert(t, r.settle(t, r.statement(3, [32]byte{7}, 1001)), "OverFunds")
	if err := r.settle(t, r.statement(3, [32]byte{7}, 1000)); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, r.d.Escrow, 0)
}

// malleate gives the other signature of the same key and digest, which the contract must refuse.
func malleate(sig []byte) []byte {
	n, _ := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	out := slices.Clone(sig)
	new(big.Int).Sub(n, new(big.Int).SetBytes(sig[32:64])).FillBytes(out[32:64])
	out[64] = 27 + 28 - sig[64]
	return out
}

// TestClaimRefused: what is not in the tree is not paid.
func TestClaimRefused(t *testing.T) {
	r := deployRun(t)
	alice, bob, eve := common.Address{0xa1}, common.Address{0xb0}, common.Address{0xee}
	p := r.payouts(t, map[common.Address]*big.Int{alice: big.NewInt(100), bob: big.NewInt(50), {0xcc}: big.NewInt(1)})
	if err := r.settle(t, r.statement(1, p.tree.Root(), 151)); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		change func(*Claim)
		want   string
	}{
		{"another account", func(c *Claim) { c.Account = eve }, "InvalidProof"},
		{"more money", func(c *Claim) { c.Cumulative = big.NewInt(101) }, "InvalidProof"},
		{"another's proof", func(c *Claim) { c.Proof = p.claim(t, 1, bob).Proof }, "InvalidProof"},
		{"short proof", func(c *Claim) { c.Proof = c.Proof[:len(c.Proof)-1] }, "InvalidProof"},
		{"unsettled epoch", func(c *Claim) { c.Epoch = 2 }, "UnknownEpoch"},
		{"epoch zero", func(c *Claim) { c.Epoch = 0 }, "UnknownEpoch"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			c := p.claim(t, 1, alice)
			tc.change(&c)
			_, err := r.client.Claim(t.Context(), r.relay, r.d, c)
			wantRevert(t, err, tc.want)
		})
	}
	wantBalance(t, r.client, r.d.Token, eve, 0)
	wantBalance(t, r.client, r.d.Token, r.d.Distributor, 151)
}

// TestReclaim: an abandoned run's money goes back to its sponsor, to nobody else and not too early.
func TestReclaim(t *testing.T) {
	const idle = 5 * time.Second
	r := deployRun(t, func(p *DeployParams) { p.IdleTimeout = idle })
	if err := r.settle(t, r.statement(1, [32]byte{7}, 100)); err != nil {
		t.Fatal(err)
	}
	_, err := r.client.Reclaim(t.Context(), r.relay, r.d)
	wantRevert(t, err, "OnlySponsor")
	_, err = r.client.Reclaim(t.Context(), r.sponsor, r.d)
	wantRevert(t, err, "NotIdle")
	// A block is at least a second later than the one before, so blocks move the chain's clock.
	for range idle/time.Second + 1 {
		if _, err := r.client.Transfer(t.Context(), testKey("gas"), common.Address{1}, big.NewInt(1)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.client.Reclaim(t.Context(), r.sponsor, r.d); err != nil {
		t.Fatal(err)
	}
	wantBalance(t, r.client, r.d.Token, addressOf(r.sponsor), 900)
	wantBalance(t, r.client, r.d.Token, r.d.Distributor, 100)
}

// TestOnlyTheContracts: the escrow's doors open for the Distributor alone.
func TestOnlyTheContracts(t *testing.T) {
	r := deployRun(t)
	for name, data := range map[string][]byte{
		"release": escrowABI.PackRelease(1, big.NewInt(1)),
		"close":   escrowABI.PackClose(),
	} {
		_, err := r.client.submitOne(t.Context(), r.sponsor, txCall{what: name, to: &r.d.Escrow, data: data})
		wantRevert(t, err, "OnlyDistributor")
	}
	_, err := r.client.submitOne(t.Context(), r.sponsor, txCall{what: "mint", to: &r.d.Token,
		data: tokenABI.PackMint(addressOf(r.sponsor), big.NewInt(1))})
	wantRevert(t, err, "ERC20ExceededCap")
}

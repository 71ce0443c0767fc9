package chain

import (
	"crypto/ecdsa"
	"fmt"
	"math/big"
	"slices"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"pgregory.net/rapid"
)

func addressesOf(keys []*ecdsa.PrivateKey) []common.Address {
	out := make([]common.Address, len(keys))
	for i, k := range keys {
		out[i] = addressOf(k)
	}
	slices.SortFunc(out, common.Address.Cmp)
	return out
}

// TestRotationDigestAgainstContract: what Go signs is what the contract checks, arrays included (EIP-712, encodeData).
func TestRotationDigestAgainstContract(t *testing.T) {
	r := deployRun(t)
	contract := distributorABI.Instance(r.client.eth, r.d.Distributor)
	rapid.Check(t, func(rt *rapid.T) {
		x := Rotation{RunID: r.d.RunID, Sequence: rapid.Uint64().Draw(rt, "sequence"), Threshold: rapid.Uint32().Draw(rt, "threshold")}
		for range rapid.IntRange(0, 70).Draw(rt, "signers") {
			x.Signers = append(x.Signers, common.Address(rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(rt, "signer")))
		}
		theirs, err := bind.Call(contract, at(t.Context(), nil), distributorABI.PackRotationDigest(x.Sequence, x.Signers, big.NewInt(int64(x.Threshold))),
			distributorABI.UnpackRotationDigest)
		if ours := RotationDigest(r.d.ChainID, r.d.Distributor, x); err != nil || theirs != ours {
			rt.Fatalf("digest %x, the contract says %x (%v)", ours, theirs, err)
		}
	})
}

// The signers hand over: afterwards only the new set settles, and its word goes on from the old one's.
func TestRotate(t *testing.T) {
	r := deployRun(t)
	old := slices.Clone(r.signers)
	newcomers := []*ecdsa.PrivateKey{testKey("new 0"), testKey("new 1"), old[0]}
	x := Rotation{RunID: r.d.RunID, Sequence: 1, Signers: addressesOf(newcomers), Threshold: 2}
	refused := func(name, want string, change func(x *Rotation), signers []*ecdsa.PrivateKey, n int) {
		t.Helper()
		y := x
		y.Signers = slices.Clone(x.Signers)
		if change != nil {
			change(&y)
		}
		r.signers = signers
		_, err := r.client.Rotate(t.Context(), r.relay, r.d, y, r.signed(t, RotationDigest(r.d.ChainID, r.d.Distributor, y), n))
		t.Log(name)
		wantRevert(t, err, want)
	}
	if err := r.settle(t, r.statement(1, [32]byte{7}, 100)); err != nil {
		t.Fatal(err)
	}
	refused("too few", "QuorumNotReached", nil, old, 2)
	refused("by the new set", "QuorumNotReached", nil, newcomers, 2)
	refused("by strangers", "UnknownSigner", nil, newcomers, 3)
	refused("sequence skipped", "WrongSequence", func(x *Rotation) { x.Sequence = 2 }, old, 3)
	refused("sequence 0", "WrongSequence", func(x *Rotation) { x.Sequence = 0 }, old, 3)
	refused("another run", "UnknownSigner", func(x *Rotation) { x.RunID[0]++ }, old, 3)
	refused("nobody", "InvalidSigners", func(x *Rotation) { x.Signers = nil }, old, 3)
	refused("unordered", "InvalidSigners", func(x *Rotation) { slices.Reverse(x.Signers) }, old, 3)
	refused("threshold 0", "InvalidThreshold", func(x *Rotation) { x.Threshold = 0 }, old, 3)
	refused("threshold above the signers", "InvalidThreshold", func(x *Rotation) { x.Threshold = 4 }, old, 3)

	r.signers = old
	sigs := r.signed(t, RotationDigest(r.d.ChainID, r.d.Distributor, x), 3)
	if _, err := r.client.Rotate(t.Context(), r.relay, r.d, x, sigs); err != nil {
		t.Fatal(err)
	}
	if n := must[uint64](t)(r.client.Rotations(t.Context(), r.d)); n != 1 {
		t.Errorf("%d rotations", n)
	}
	_, err := r.client.Rotate(t.Context(), r.relay, r.d, x, sigs)
	wantRevert(t, err, "WrongSequence")
	wantRevert(t, r.settle(t, r.statement(2, [32]byte{8}, 200)), "UnknownSigner", "QuorumNotReached")
	s := r.statement(2, [32]byte{8}, 200)
	r.signers = newcomers
	if _, err := r.client.Settle(t.Context(), r.relay, r.d, s, r.signed(t, r.digest(s), 2)); err != nil {
		t.Fatal(err)
	}
	back := Rotation{RunID: r.d.RunID, Sequence: 2, Signers: addressesOf(old), Threshold: 3}
	if _, err := r.client.Rotate(t.Context(), r.relay, r.d, back, r.signed(t, RotationDigest(r.d.ChainID, r.d.Distributor, back), 2)); err != nil {
		t.Fatal(err)
	}
	r.signers = old
	if err := r.settle(t, r.statement(3, [32]byte{9}, 300)); err != nil {
		t.Fatalf("the first set again: %v", err)
	}
	if err := r.client.Verify(t.Context(), r.d, r.params); err != nil {
		t.Errorf("a deployment stays what it was created as: %v", err)
	}
}

// The largest set still fits a block's gas, in and out.
func TestRotateLargestSet(t *testing.T) {
	r := deployRun(t)
	many := make([]*ecdsa.PrivateKey, MaxSigners)
	for i := range many {
		many[i] = testKey(fmt.Sprint("many ", i))
	}
	for i, x := range []struct {
		set []*ecdsa.PrivateKey
		t   uint32
		by  int
	}{{many, MaxSigners, 3}, {r.signers, 3, MaxSigners}} {
		rot := Rotation{RunID: r.d.RunID, Sequence: uint64(i) + 1, Signers: addressesOf(x.set), Threshold: x.t}
		sigs := r.signed(t, RotationDigest(r.d.ChainID, r.d.Distributor, rot), x.by)
		if _, err := r.client.Rotate(t.Context(), r.relay, r.d, rot, sigs); err != nil {
			t.Fatal(err)
		}
		r.signers = x.set
	}
}

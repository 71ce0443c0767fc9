package chain

import (
	"bytes"
	"errors"
	"math/big"
	"testing"

	"github.com/ethereum/go-ethereum/accounts/abi/bind/v2"
	"github.com/ethereum/go-ethereum/common"
	"pgregory.net/rapid"
)

// TestDigestAgainstContract: what Go signs is what the contract checks (EIP-712).
func TestDigestAgainstContract(t *testing.T) {
	r := deployRun(t)
	contract := distributorABI.Instance(r.client.eth, r.d.Distributor)
	rapid.Check(t, func(rt *rapid.T) {
		word := func(label string) [32]byte { return [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, label)) }
		total := word("total")
		s := SettlementStatement{RunID: word("run"), Epoch: rapid.Uint64().Draw(rt, "epoch"), LogRoot: word("log"),
			PayoutRoot: word("payout"), CumulativeTotal: new(big.Int).SetBytes(total[:])}
		theirs, err := bind.Call(contract, at(t.Context(), nil), distributorABI.PackSettlementDigest(s.binding()),
			distributorABI.UnpackSettlementDigest)
		if err != nil || theirs != r.digest(s) {
			rt.Fatalf("digest %x, the contract says %x (%v)", r.digest(s), theirs, err)
		}
		theirs, err = bind.Call(contract, at(t.Context(), nil), distributorABI.PackFinishDigest(s.Epoch),
			distributorABI.UnpackFinishDigest)
		if ours := FinishDigest(r.d.ChainID, r.d.Distributor, r.d.RunID, s.Epoch); err != nil || theirs != ours {
			rt.Fatalf("finish digest %x, the contract says %x (%v)", ours, theirs, err)
		}
	})
}

func TestSignRecover(t *testing.T) {
	key := testKey("a")
	rapid.Check(t, func(t *rapid.T) {
		digest := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		sig, err := Sign(digest, key)
		if err != nil {
			t.Fatal(err)
		}
		if by, err := Recover(digest, sig); err != nil || by != addressOf(key) {
			t.Fatalf("recovered %s (%v)", by, err)
		}
		if _, err := Recover(digest, malleate(sig)); !errors.Is(err, ErrBadSignature) {
			t.Fatalf("the other signature of the pair: %v", err)
		}
		changed := bytes.Clone(sig)
		changed[rapid.IntRange(0, 64).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if by, err := Recover(digest, changed); err == nil && by == addressOf(key) {
			t.Fatal("a changed signature is the signer's")
		}
	})
	for _, sig := range [][]byte{nil, make([]byte, 64), make([]byte, 65), make([]byte, 66)} {
		if _, err := Recover([32]byte{1}, sig); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%d zero bytes: %v", len(sig), err)
		}
	}
}

func TestOrderSignatures(t *testing.T) {
	digest := [32]byte{4}
	var sigs [][]byte
	for _, name := range []string{"a", "b", "c", "d", "a", "c"} {
		sigs = append(sigs, must[[]byte](t)(Sign(digest, testKey(name))))
	}
	ordered := must[[][]byte](t)(OrderSignatures(digest, sigs))
	if len(ordered) != 4 {
		t.Fatalf("%d signatures of 4 signers", len(ordered))
	}
	var previous common.Address
	for _, sig := range ordered {
		by := must[common.Address](t)(Recover(digest, sig))
		if by.Cmp(previous) <= 0 {
			t.Errorf("%s after %s", by, previous)
		}
		previous = by
	}
	if _, err := OrderSignatures(digest, [][]byte{{1}}); !errors.Is(err, ErrBadSignature) {
		t.Errorf("a byte as signature: %v", err)
	}
}

// FuzzRecover: no panic, and what is accepted is canonical.
func FuzzRecover(f *testing.F) {
	sig, err := Sign([32]byte{1}, testKey("a"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sig)
	f.Add(malleate(sig))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, sig []byte) {
		if by, err := Recover([32]byte{1}, sig); err == nil && (len(sig) != 65 || by == (common.Address{})) {
			t.Fatalf("accepted %x of %s", sig, by)
		}
	})
}

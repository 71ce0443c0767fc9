package chain

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/crypto"

	"drystone/ledger/chain/bindings"
)

// SettlementStatement is what t of n aggregators sign to settle an epoch.
type SettlementStatement struct {
	RunID           [32]byte // the run's identity
	Epoch           uint64   // from 1, strictly ascending; gaps are allowed
	LogRoot         [32]byte // transparency log root that the payouts follow from; not zero
	PayoutRoot      [32]byte // root of the payout tree; not zero
	CumulativeTotal *big.Int // sum of the tree's amounts, in base units; never falls
}

func (s SettlementStatement) binding() bindings.SettlementStatement {
	return bindings.SettlementStatement{RunId: s.RunID, Epoch: s.Epoch, LogRoot: s.LogRoot, PayoutRoot: s.PayoutRoot,
		CumulativeTotal: s.CumulativeTotal}
}

// Type hashes of EIP-712; the strings must be the contract's.
var (
	domainType     = crypto.Keccak256([]byte("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"))
	settlementType = crypto.Keccak256([]byte("Settlement(bytes32 runId,uint64 epoch,bytes32 logRoot,bytes32 payoutRoot,uint256 cumulativeTotal)"))
	finishType     = crypto.Keccak256([]byte("Finish(bytes32 runId,uint64 lastEpoch)"))
	domainName     = crypto.Keccak256([]byte("Drystone Settlement"))
	domainVersion  = crypto.Keccak256([]byte("1"))
)

// SettlementDigest is the EIP-712 digest that settles an epoch at one distributor on one chain.
func SettlementDigest(chainID *big.Int, distributor common.Address, s SettlementStatement) [32]byte {
	epoch, total := word(new(big.Int).SetUint64(s.Epoch)), word(s.CumulativeTotal)
	return typedDigest(chainID, distributor,
		crypto.Keccak256(settlementType, s.RunID[:], epoch[:], s.LogRoot[:], s.PayoutRoot[:], total[:]))
}

// FinishDigest is the EIP-712 digest that ends a run after its last settled epoch and refunds the sponsor.
func FinishDigest(chainID *big.Int, distributor common.Address, runID [32]byte, lastEpoch uint64) [32]byte {
	epoch := word(new(big.Int).SetUint64(lastEpoch))
	return typedDigest(chainID, distributor, crypto.Keccak256(finishType, runID[:], epoch[:]))
}

func typedDigest(chainID *big.Int, distributor common.Address, structHash []byte) [32]byte {
	id := word(chainID)
	separator := crypto.Keccak256(domainType, domainName, domainVersion, id[:], common.LeftPadBytes(distributor[:], 32))
	return crypto.Keccak256Hash([]byte{0x19, 0x01}, separator, structHash)
}

// ErrBadSignature is returned for a signature that is malformed, not canonical, or of no key.
var ErrBadSignature = errors.New("chain: bad signature")

// Sign signs a digest: 65 bytes r|s|v with low s and v of 27 or 28. The same key and digest give the same signature.
func Sign(digest [32]byte, key *ecdsa.PrivateKey) ([]byte, error) {
	sig, err := crypto.Sign(digest[:], key)
	if err != nil {
		return nil, fmt.Errorf("chain: sign statement: %w", err)
	}
	sig[64] += 27
	return sig, nil
}

// Recover names the signer of a digest. It accepts exactly the signatures that the contract accepts; the caller
// compares the address with the registered signers.
func Recover(digest [32]byte, sig []byte) (common.Address, error) {
	if len(sig) != 65 {
		return common.Address{}, fmt.Errorf("%w: %d bytes, want 65", ErrBadSignature, len(sig))
	}
	v := sig[64]
	r, s := new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:64])
	if (v != 27 && v != 28) || !crypto.ValidateSignatureValues(v-27, r, s, true) {
		return common.Address{}, fmt.Errorf("%w: not canonical", ErrBadSignature)
	}
	plain := slices.Clone(sig)
	plain[64] = v - 27
	pub, err := crypto.SigToPub(digest[:], plain)
	if err != nil {
		return common.Address{}, fmt.Errorf("%w: %v", ErrBadSignature, err)
	}
	return crypto.PubkeyToAddress(*pub), nil
}

// OrderSignatures orders signatures of one digest by signer address, as the contract wants them, and drops a signer's
// second one. It fails on a signature that Recover refuses.
func OrderSignatures(digest [32]byte, sigs [][]byte) ([][]byte, error) {
	type signed struct {
		by  common.Address
		sig []byte
	}
	all := make([]signed, len(sigs))
	for i, sig := range sigs {
		by, err := Recover(digest, sig)
		if err != nil {
			return nil, fmt.Errorf("signature %d: %w", i, err)
		}
		all[i] = signed{by, sig}
	}
	slices.SortFunc(all, func(a, b signed) int { return bytes.Compare(a.by[:], b.by[:]) })
	all = slices.CompactFunc(all, func(a, b signed) bool { return a.by == b.by })
	ordered := make([][]byte, len(all))
	for i, s := range all {
		ordered[i] = s.sig
	}
	return ordered, nil
}

package protocol

import (
	"bytes"
	"math/big"
	"slices"
)

// Amount is an unsigned 256-bit integer, big-endian: a quantity of the ledger's smallest unit, 10^-18 token.
type Amount [32]byte

// AmountOf converts v, which must be at least 0 and below 2^256; it panics otherwise.
func AmountOf(v *big.Int) (a Amount) {
	if v.Sign() < 0 {
		panic("protocol: negative amount") // FillBytes would take the absolute value
	}
	v.FillBytes(a[:])
	return a
}

// Big returns the amount as an integer.
func (a Amount) Big() *big.Int { return new(big.Int).SetBytes(a[:]) }

// String returns the amount in decimal.
func (a Amount) String() string { return a.Big().String() }

// Payout is the total that an account has earned since the run began.
type Payout struct {
	_          struct{} `cbor:",toarray"`
	Account    Address
	Cumulative Amount
}

// Settlement closes an epoch. Aggregators sign its EIP-712 digest, and the contract pays claims against its root once t
// of them have.
type Settlement struct {
	_          struct{} `cbor:",toarray"`
	Run        Digest
	Epoch      uint64 // from 1
	LogRoot    Digest // transparency log when the epoch's last verdict was in
	PayoutRoot Digest // Merkle root over the payouts, in the contract's hashing
	Total      Amount // sum of all cumulative payouts
}

// Rotation registers another set of signers with the contract. Aggregators sign its EIP-712 digest, and the contract
// takes it once t of those registered before have.
type Rotation struct {
	_         struct{} `cbor:",toarray"`
	Run       Digest
	Sequence  uint64    // from 1, one more with every rotation
	Signers   []Address // ascending
	Threshold uint32
}

// Rotation returns the rotation that registers the council. It fails for a member whose ID is no public key.
func (c *Council) Rotation(sequence uint64) (Rotation, error) {
	r := Rotation{Run: c.Run, Sequence: sequence, Threshold: uint32(c.Threshold)}
	for _, a := range c.Members {
		addr, err := a.ID.Address()
		if err != nil {
			return Rotation{}, err
		}
		r.Signers = append(r.Signers, addr)
	}
	slices.SortFunc(r.Signers, func(a, b Address) int { return bytes.Compare(a[:], b[:]) })
	return r, nil
}

// EVMSignature is R || S || V as the EVM's ecrecover takes it, V 27 or 28.
type EVMSignature [65]byte

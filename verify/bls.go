package verify

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"

	bls12381 "github.com/consensys/gnark-crypto/ecc/bls12-381"
	"github.com/consensys/gnark-crypto/ecc/bls12-381/fr"

	"drystone/protocol"
)

// Domain separation tags of draft-irtf-cfrg-bls-signature-05, section 4.2.3, minimal-signature-size variant.
const (
	dstSign  = "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
	dstProof = "BLS_POP_BLS12381G1_XMD:SHA-256_SSWU_RO_POP_"
)

// BLSSeed is the number of bytes that a BLS key is made from: protocol.Key.Derive("bls", BLSSeed).
const BLSSeed = 48

// Errors of BLS keys and signatures.
var (
	ErrBLSKey       = errors.New("not a valid BLS public key")
	ErrBLSSignature = errors.New("BLS signature does not verify")
)

// BLSKey signs draws: BLS over BLS12-381 with signatures in G1 (48 bytes) and public keys in G2 (96 bytes), as in
// draft-irtf-cfrg-bls-signature-05 with proofs of possession. A signature is a function of key and message, so its
// holder cannot choose among several. The arithmetic is not constant-time: a draw is worth nothing once it is published,
// and is published at once. A BLSKey is safe for concurrent use.
type BLSKey struct {
	secret *big.Int
	public [96]byte
}

// NewBLSKey makes the key that ikm, at least 32 secret bytes, gives by the draft's KeyGen (section 2.3).
func NewBLSKey(ikm []byte) (BLSKey, error) {
	if len(ikm) < 32 {
		return BLSKey{}, fmt.Errorf("BLS key material has %d bytes, want at least 32", len(ikm))
	}
	salt := []byte("BLS-SIG-KEYGEN-SALT-")
	secret := new(big.Int)
	for secret.Sign() == 0 {
		h := sha256.Sum256(salt)
		salt = h[:]
		okm, err := hkdf.Key(sha256.New, append(bytes.Clone(ikm), 0), salt, "\x00\x30", 48)
		if err != nil {
			return BLSKey{}, fmt.Errorf("derive BLS key: %w", err)
		}
		secret.Mod(secret.SetBytes(okm), fr.Modulus())
	}
	var pub bls12381.G2Affine
	pub.ScalarMultiplicationBase(secret)
	return BLSKey{secret: secret, public: pub.Bytes()}, nil
}

// DeriveBLSKey makes the BLS key that belongs to a peer's key.
func DeriveBLSKey(k protocol.Key) (BLSKey, error) {
	ikm, err := k.Derive("bls", BLSSeed)
	if err != nil {
		return BLSKey{}, err
	}
	return NewBLSKey(ikm)
}

// Public returns the compressed G2 public key.
func (k BLSKey) Public() [96]byte { return k.public }

// Sign returns the compressed G1 signature of msg.
func (k BLSKey) Sign(msg []byte) ([48]byte, error) { return k.sign(msg, dstSign) }

// Prove returns the proof of possession that Genesis carries: without one, a key made from others' keys could cancel
// theirs out.
func (k BLSKey) Prove() ([48]byte, error) { return k.sign(k.public[:], dstProof) }

func (k BLSKey) sign(msg []byte, dst string) ([48]byte, error) {
	h, err := bls12381.HashToG1(msg, []byte(dst))
	if err != nil {
		return [48]byte{}, fmt.Errorf("hash to curve: %w", err)
	}
	var sig bls12381.G1Affine
	sig.ScalarMultiplication(&h, k.secret)
	return sig.Bytes(), nil
}

// VerifyBLS checks that sig is pub's signature of msg: pub and sig are canonical encodings of points of the right
// subgroups, and pub is not the identity. Errors: ErrBLSKey, ErrBLSSignature.
func VerifyBLS(pub [96]byte, msg []byte, sig [48]byte) error {
	return verifyBLS(pub, msg, sig, dstSign)
}

// VerifyPossession checks a proof of possession of pub.
func VerifyPossession(pub [96]byte, proof [48]byte) error {
	if err := verifyBLS(pub, pub[:], proof, dstProof); err != nil {
		return fmt.Errorf("proof of possession: %w", err)
	}
	return nil
}

func verifyBLS(pub [96]byte, msg []byte, sig [48]byte, dst string) error {
	var pk bls12381.G2Affine
	if _, err := pk.SetBytes(pub[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrBLSKey, err)
	}
	if pk.IsInfinity() || pk.Bytes() != pub {
		return fmt.Errorf("%w: identity or not canonical", ErrBLSKey)
	}
	var s bls12381.G1Affine
	if _, err := s.SetBytes(sig[:]); err != nil {
		return fmt.Errorf("%w: %w", ErrBLSSignature, err)
	}
	if s.IsInfinity() || s.Bytes() != sig {
		return fmt.Errorf("%w: identity or not canonical", ErrBLSSignature)
	}
	h, err := bls12381.HashToG1(msg, []byte(dst))
	if err != nil {
		return fmt.Errorf("hash to curve: %w", err)
	}
	h.Neg(&h)
	_, _, _, g2 := bls12381.Generators()
	ok, err := bls12381.PairingCheck([]bls12381.G1Affine{s, h}, []bls12381.G2Affine{g2, pk}) // e(s, g2) = e(H(msg), pk)
	if err != nil || !ok {
		return ErrBLSSignature
	}
	return nil
}

package protocol

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/mr-tron/base58"
	"golang.org/x/crypto/sha3"
)

// PeerID is a peer's compressed secp256k1 public key. Peers are ordered by its bytes.
type PeerID [33]byte

// Signature is an ECDSA signature R || S with low S over a domain digest.
type Signature [64]byte

// Address is an EVM account.
type Address [20]byte

// Errors of keys and signatures.
var (
	ErrBadSignature = errors.New("signature does not verify")
	ErrBadKey       = errors.New("not a secp256k1 key")
)

// libp2pPrefix turns a compressed secp256k1 key into the identity multihash of its libp2p protobuf, which is the
// peer ID of go-libp2p (specs/peer-ids): multihash identity, 37 bytes, KeyType Secp256k1, Data of 33 bytes.
var libp2pPrefix = []byte{0x00, 0x25, 0x08, 0x02, 0x12, 0x21}

// String returns the libp2p peer ID in base58, "16Uiu2H...".
func (p PeerID) String() string {
	return base58.Encode(append(append([]byte{}, libp2pPrefix...), p[:]...))
}

// Short returns the last 6 characters of the peer ID, for display only.
func (p PeerID) Short() string {
	s := p.String()
	return s[len(s)-6:]
}

// MarshalText encodes p as String does.
func (p PeerID) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses what String returns.
func (p *PeerID) UnmarshalText(text []byte) error {
	v, err := ParsePeerID(string(text))
	if err == nil {
		*p = v
	}
	return err
}

// ParsePeerID parses a base58 libp2p peer ID of a secp256k1 key.
func ParsePeerID(s string) (PeerID, error) {
	var p PeerID
	if len(s) > 64 {
		return p, fmt.Errorf("peer ID %q is too long: %w", clip(s), ErrBadKey)
	}
	b, err := base58.Decode(s)
	if err != nil || len(b) != len(libp2pPrefix)+len(p) || string(b[:len(libp2pPrefix)]) != string(libp2pPrefix) {
		return p, fmt.Errorf("peer ID %q: want a base58 libp2p ID of a secp256k1 key: %w", clip(s), ErrBadKey)
	}
	copy(p[:], b[len(libp2pPrefix):])
	if _, err := p.publicKey(); err != nil {
		return PeerID{}, fmt.Errorf("peer ID %q: %w", clip(s), err)
	}
	return p, nil
}

func (p PeerID) publicKey() (*secp256k1.PublicKey, error) {
	pub, err := secp256k1.ParsePubKey(p[:])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	return pub, nil
}

// Address returns the EVM account of the key: the last 20 bytes of Keccak-256 over the uncompressed point.
func (p PeerID) Address() (Address, error) {
	pub, err := p.publicKey()
	if err != nil {
		return Address{}, err
	}
	h := sha3.NewLegacyKeccak256()
	h.Write(pub.SerializeUncompressed()[1:])
	var a Address
	copy(a[:], h.Sum(nil)[12:])
	return a, nil
}

// String returns "0x" and 40 hexadecimal digits.
func (a Address) String() string { return "0x" + hex.EncodeToString(a[:]) }

// MarshalText encodes a as String does.
func (a Address) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText parses "0x" and 40 hexadecimal digits.
func (a *Address) UnmarshalText(text []byte) error {
	v, err := ParseAddress(string(text))
	if err == nil {
		*a = v
	}
	return err
}

// ParseAddress parses "0x" and 40 hexadecimal digits of any case.
func ParseAddress(s string) (Address, error) {
	var a Address
	if len(s) != 42 || s[:2] != "0x" {
		return a, fmt.Errorf("address %q: want 0x and 40 hexadecimal digits", clip(s))
	}
	if _, err := hex.Decode(a[:], []byte(s[2:])); err != nil {
		return a, fmt.Errorf("address %q: %w", clip(s), err)
	}
	return a, nil
}

// Key is a peer's private key. It is safe for concurrent use.
type Key struct {
	priv *secp256k1.PrivateKey
	id   PeerID
}

// NewKey makes a key from 32 secret bytes, a number from 1 to the group order less one.
func NewKey(secret [32]byte) (Key, error) {
	var s secp256k1.ModNScalar
	if overflow := s.SetBytes(&secret); overflow != 0 || s.IsZero() {
		return Key{}, fmt.Errorf("secret out of range: %w", ErrBadKey)
	}
	k := Key{priv: secp256k1.NewPrivateKey(&s)}
	copy(k.id[:], k.priv.PubKey().SerializeCompressed())
	return k, nil
}

// GenerateKey makes a key from the operating system's randomness.
func GenerateKey() (Key, error) {
	priv, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		return Key{}, fmt.Errorf("generate key: %w", err)
	}
	var secret [32]byte
	copy(secret[:], priv.Serialize())
	return NewKey(secret)
}

// DeriveKey makes the key that a seed and a label give, for demonstrations and tests: whoever knows the seed has it.
func DeriveKey(seed uint64, label string) Key {
	for n := 0; ; n++ {
		d := Hash("demo-key", fmt.Appendf(nil, "%d/%s/%d", seed, label, n))
		if k, err := NewKey(d); err == nil {
			return k
		}
	}
}

// ID returns the public half.
func (k Key) ID() PeerID { return k.id }

// Secret returns the 32 secret bytes, for the libp2p identity, the wallet and the keystore.
func (k Key) Secret() (s [32]byte) {
	k.priv.Key.PutBytes(&s)
	return s
}

// Derive returns n bytes of HKDF-SHA-256 under the key for a purpose (RFC 5869), such as a BLS key or a salt.
func (k Key) Derive(purpose string, n int) ([]byte, error) {
	s := k.Secret()
	b, err := hkdf.Key(sha256.New, s[:], nil, "drystone/1/"+purpose, n)
	if err != nil {
		return nil, fmt.Errorf("derive %q: %w", purpose, err)
	}
	return b, nil
}

// SignDigest signs a digest with an RFC 6979 nonce: the same digest gives the same signature.
func (k Key) SignDigest(d Digest) Signature {
	compact := ecdsa.SignCompact(k.priv, d[:], true) // recovery byte, R, S; low S by construction
	var s Signature
	copy(s[:], compact[1:])
	return s
}

// VerifyDigest checks a signature of p over d. It refuses high S, so that a signature has one valid form.
func (p PeerID) VerifyDigest(d Digest, sig Signature) error {
	pub, err := p.publicKey()
	if err != nil {
		return err
	}
	var r, s secp256k1.ModNScalar
	if r.SetByteSlice(sig[:32]) || s.SetByteSlice(sig[32:]) || r.IsZero() || s.IsZero() || s.IsOverHalfOrder() {
		return fmt.Errorf("signature of %s: %w", p.Short(), ErrBadSignature)
	}
	if !ecdsa.NewSignature(&r, &s).Verify(d[:], pub) {
		return fmt.Errorf("signature of %s: %w", p.Short(), ErrBadSignature)
	}
	return nil
}

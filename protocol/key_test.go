package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/big"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	ethcrypto "github.com/ethereum/go-ethereum/crypto"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"pgregory.net/rapid"
)

// one is the key whose public half is the group's generator: its address is known from elsewhere.
func one(t testing.TB) Key {
	k, err := NewKey([32]byte{31: 1})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKnownKey(t *testing.T) {
	id := one(t).ID()
	if got, want := hex.EncodeToString(id[:]), "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"; got != want {
		t.Errorf("public key %s, want the generator %s (SEC 2, section 2.4.1)", got, want)
	}
	addr, err := id.Address()
	if err != nil || addr.String() != "0x7e5f4552091a69125d5dfcb7b8c2659029395bdf" {
		t.Errorf("address %s %v", addr, err)
	}
}

// One key is the libp2p identity and the wallet: both libraries must see the peer that this package sees.
func TestKeyAgreesWithLibp2pAndEthereum(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret"))
		k, err := NewKey(secret)
		if err != nil {
			t.Skip("not a scalar")
		}
		priv, err := crypto.UnmarshalSecp256k1PrivateKey(secret[:])
		if err != nil {
			t.Fatal(err)
		}
		pid, err := peer.IDFromPrivateKey(priv)
		if err != nil || pid.String() != k.ID().String() {
			t.Fatalf("libp2p has peer %s, this package %s (%v)", pid, k.ID(), err)
		}
		eth, err := ethcrypto.ToECDSA(secret[:])
		if err != nil {
			t.Fatal(err)
		}
		addr, err := k.ID().Address()
		if err != nil || addr != Address(ethcrypto.PubkeyToAddress(eth.PublicKey)) {
			t.Fatalf("go-ethereum has address %s, this package %s (%v)", ethcrypto.PubkeyToAddress(eth.PublicKey), addr, err)
		}
		d := Hash("test", secret[:])
		want, err := ethcrypto.Sign(d[:], eth)
		if err != nil {
			t.Fatal(err)
		}
		if sig := k.SignDigest(d); !bytes.Equal(sig[:], want[:64]) {
			t.Fatalf("signature %x, go-ethereum %x: both follow RFC 6979", sig, want[:64])
		}
		if k.Secret() != secret {
			t.Fatal("secret changed")
		}
	})
}

func TestKeyVectors(t *testing.T) {
	type vector struct {
		Seed      uint64 `json:"seed"`
		Label     string `json:"label"`
		Secret    string `json:"secret"`
		Public    string `json:"public"`
		PeerID    string `json:"peer_id"`
		Address   string `json:"address"`
		BLSSeed   string `json:"derive_bls_32"`
		Signature string `json:"signature_of_digest_test_empty"`
	}
	var vectors []vector
	for _, label := range []string{"founder", "agg0", "peer0"} {
		k := DeriveKey(1, label)
		secret, id, sig := k.Secret(), k.ID(), k.SignDigest(Hash("test"))
		derived, err := k.Derive("bls", 32)
		if err != nil {
			t.Fatal(err)
		}
		addr, err := id.Address()
		if err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, vector{1, label, hex.EncodeToString(secret[:]), hex.EncodeToString(id[:]), id.String(),
			addr.String(), hex.EncodeToString(derived), hex.EncodeToString(sig[:])})
	}
	goldenJSON(t, "keys.json", vectors)
}

func TestNewKeyRange(t *testing.T) {
	order, ok := new(big.Int).SetString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141", 16)
	if !ok {
		t.Fatal("order")
	}
	var zero, n, last, max [32]byte
	order.FillBytes(n[:])
	new(big.Int).Sub(order, big.NewInt(1)).FillBytes(last[:])
	copy(max[:], bytes.Repeat([]byte{0xff}, 32))
	for name, tt := range map[string]struct {
		secret [32]byte
		ok     bool
	}{"zero": {zero, false}, "the order": {n, false}, "all ones": {max, false}, "order less one": {last, true}} {
		if _, err := NewKey(tt.secret); (err == nil) != tt.ok || (err != nil && !errors.Is(err, ErrBadKey)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGenerateAndDeriveDiffer(t *testing.T) {
	a, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	b, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	if a.ID() == b.ID() || DeriveKey(1, "a").ID() == DeriveKey(1, "b").ID() || DeriveKey(1, "a").ID() == DeriveKey(2, "a").ID() {
		t.Error("two keys are one")
	}
	x, _ := a.Derive("x", 32)
	y, _ := a.Derive("y", 32)
	if len(x) != 32 || bytes.Equal(x, y) {
		t.Error("purposes do not separate derived keys")
	}
	if _, err := a.Derive("x", 1<<20); err == nil {
		t.Error("HKDF-SHA-256 gives at most 255 blocks, yet this gave more")
	}
}

// highS returns the other signature of the same message: (r, n - s).
func highS(sig Signature) Signature {
	var s secp256k1.ModNScalar
	s.SetByteSlice(sig[32:])
	s.Negate()
	s.PutBytesUnchecked(sig[32:])
	return sig
}

func TestVerifyDigestRefusals(t *testing.T) {
	k, d := one(t), Hash("test")
	sig := k.SignDigest(d)
	if err := k.ID().VerifyDigest(d, sig); err != nil {
		t.Fatal(err)
	}
	with := func(change func(s *Signature)) Signature {
		s := sig
		change(&s)
		return s
	}
	ones := bytes.Repeat([]byte{0xff}, 32)
	for name, tt := range map[string]struct {
		id   PeerID
		d    Digest
		sig  Signature
		want error
	}{
		"high S":       {k.ID(), d, highS(sig), ErrBadSignature},
		"other digest": {k.ID(), Hash("other"), sig, ErrBadSignature},
		"other key":    {DeriveKey(1, "a").ID(), d, sig, ErrBadSignature},
		"r changed":    {k.ID(), d, with(func(s *Signature) { s[31] ^= 1 }), ErrBadSignature},
		"r zero":       {k.ID(), d, with(func(s *Signature) { clear(s[:32]) }), ErrBadSignature},
		"s zero":       {k.ID(), d, with(func(s *Signature) { clear(s[32:]) }), ErrBadSignature},
		"r over order": {k.ID(), d, with(func(s *Signature) { copy(s[:32], ones) }), ErrBadSignature},
		"s over order": {k.ID(), d, with(func(s *Signature) { copy(s[32:], ones) }), ErrBadSignature},
		"no key":       {PeerID{}, d, sig, ErrBadKey},
		"off curve":    {PeerID{0: 2, 32: 5}, d, sig, ErrBadKey},
	} {
		if err := tt.id.VerifyDigest(tt.d, tt.sig); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
}

// A message survives encode and decode, its signature verifies, and any changed byte is noticed.
func TestSignedRoundTrip(t *testing.T) {
	k := DeriveKey(1, "a")
	s := Sign(k, Commit{Round: 3, Peer: k.ID(), Steps: 20, Trace: Hash("t")})
	data := s.Encode()
	got, err := DecodeSigned[Commit](data)
	if err != nil {
		t.Fatal(err)
	}
	if got != s || got.Verify() != nil {
		t.Fatalf("round trip: %+v", got)
	}
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		if m, err := DecodeSigned[Commit](bad); err == nil && m.Verify() == nil {
			t.Fatalf("byte %d flipped and still valid", i)
		}
	}
}

// A signature made for one kind of message is none for another with the same fields.
func TestDomainsSeparateSignatures(t *testing.T) {
	k := DeriveKey(1, "a")
	leave := Sign(k, Leave{Run: Hash("run"), Peer: k.ID(), Nonce: 1})
	if err := k.ID().VerifyDigest(Hash(DomainJoin, mustEncode(leave.Body)), leave.Sig); !errors.Is(err, ErrBadSignature) {
		t.Errorf("a Leave's signature passes in the domain of Join: %v", err)
	}
	forged := Signed[Leave]{Body: Leave{Peer: DeriveKey(1, "b").ID()}, Sig: leave.Sig}
	if err := forged.Verify(); !errors.Is(err, ErrBadSignature) {
		t.Errorf("another's message with this signature: %v", err)
	}
}

// Every text form parses back, and nothing else parses.
func TestTextForms(t *testing.T) {
	id := one(t).ID()
	if got, err := ParsePeerID(id.String()); err != nil || got != id {
		t.Errorf("%s %v", got, err)
	}
	if s := id.String(); s[len(s)-6:] != id.Short() {
		t.Errorf("short form %s of %s", id.Short(), s)
	}
	for name, s := range map[string]string{
		"empty": "", "ed25519 peer": "12D3KooWBhV9dp6FDvFL9gS2r6x3nGJq3wzxk2Q2D1hVbyDxfKEc", "not base58": "16Uiu2HA0OIl",
		"too long": string(bytes.Repeat([]byte{'1'}, 100)), "cut short": id.String()[:52], "off curve": PeerID{0: 2, 32: 5}.String(),
	} {
		if _, err := ParsePeerID(s); !errors.Is(err, ErrBadKey) {
			t.Errorf("peer ID, %s: %v", name, err)
		}
	}
	d := Hash("test")
	if got, err := ParseDigest(d.String()); err != nil || got != d {
		t.Errorf("%s %v", got, err)
	}
	a := Address{0xab, 19: 0xcd}
	if got, err := ParseAddress("0xAB000000000000000000000000000000000000Cd"); err != nil || got != a {
		t.Errorf("%s %v", got, err)
	}
	for _, s := range []string{"", "00", d.String() + "00", "zz" + d.String()[2:]} {
		if _, err := ParseDigest(s); err == nil {
			t.Errorf("digest %q accepted", s)
		}
	}
	for _, s := range []string{"", a.String()[2:], "0X" + a.String()[2:], a.String() + "0", "0xzz" + a.String()[4:]} {
		if _, err := ParseAddress(s); err == nil {
			t.Errorf("address %q accepted", s)
		}
	}
}

func TestAmount(t *testing.T) {
	max := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1))
	for _, v := range []*big.Int{new(big.Int), big.NewInt(1), max} {
		if a := AmountOf(v); a.Big().Cmp(v) != 0 || a.String() != v.String() {
			t.Errorf("%s became %s", v, a)
		}
	}
	for _, v := range []*big.Int{big.NewInt(-1), new(big.Int).Add(max, big.NewInt(1))} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("AmountOf(%s): no panic", v)
				}
			}()
			AmountOf(v)
		}()
	}
}

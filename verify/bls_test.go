package verify

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"

	bls12381 "github.com/consensys/gnark-crypto/ecc/bls12-381"

	"drystone/protocol"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	return must(hex.DecodeString(s))(t)
}

// KeyGen of the BLS draft, section 2.3, with the vector of EIP-2333, test case 0 (its derive_master_SK is KeyGen).
func TestBLSKeyGenVector(t *testing.T) {
	seed := unhex(t, "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c81b2f001698e7463b04")
	k, err := NewBLSKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	if got := k.secret.String(); got != "6083874454709270928345386274498605044986640685124978867557563392430687146096" {
		t.Fatal(got)
	}
}

// A signature made elsewhere verifies: drand's quicknet, round 1000, the same scheme under its own tag.
func TestBLSForeignVector(t *testing.T) {
	var pub [96]byte
	var sig [48]byte
	copy(pub[:], unhex(t, "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a"))
	copy(sig[:], unhex(t, "b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"))
	msg := sha256.Sum256(binary.BigEndian.AppendUint64(nil, 1000))
	if err := verifyBLS(pub, msg[:], sig, "BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_"); err != nil {
		t.Fatal(err)
	}
	if err := VerifyBLS(pub, msg[:], sig); !errors.Is(err, ErrBLSSignature) {
		t.Fatalf("verified under another tag: %v", err)
	}
}

func TestBLSSignAndProve(t *testing.T) {
	k := must(DeriveBLSKey(protocol.DeriveKey(1, "a")))(t)
	other := must(DeriveBLSKey(protocol.DeriveKey(1, "b")))(t)
	again := must(DeriveBLSKey(protocol.DeriveKey(1, "a")))(t)
	sig, proof := must(k.Sign([]byte("m")))(t), must(k.Prove())(t)
	if again.Public() != k.Public() || must(again.Sign([]byte("m")))(t) != sig {
		t.Fatal("not deterministic")
	}
	infinity := [48]byte{0xc0}
	for name, tt := range map[string]struct{ err, want error }{
		"good":                     {VerifyBLS(k.Public(), []byte("m"), sig), nil},
		"possession":               {VerifyPossession(k.Public(), proof), nil},
		"other message":            {VerifyBLS(k.Public(), []byte("n"), sig), ErrBLSSignature},
		"other key":                {VerifyBLS(other.Public(), []byte("m"), sig), ErrBLSSignature},
		"proof of another key":     {VerifyPossession(other.Public(), proof), ErrBLSSignature},
		"proof as a signature":     {VerifyBLS(k.Public(), k.public[:], proof), ErrBLSSignature},
		"signature at infinity":    {VerifyBLS(k.Public(), []byte("m"), infinity), ErrBLSSignature},
		"key at infinity":          {VerifyBLS([96]byte{0xc0}, []byte("m"), infinity), ErrBLSKey},
		"no key":                   {VerifyBLS([96]byte{}, []byte("m"), sig), ErrBLSKey},
		"no signature":             {VerifyBLS(k.Public(), []byte("m"), [48]byte{}), ErrBLSSignature},
		"signature off the group":  {VerifyBLS(k.Public(), []byte("m"), offGroup(t)), ErrBLSSignature},
		"signature with high bits": {VerifyBLS(k.Public(), []byte("m"), [48]byte(bytes.Repeat([]byte{0x9f}, 48))), ErrBLSSignature},
	} {
		if !errors.Is(tt.err, tt.want) || (tt.want == nil && tt.err != nil) {
			t.Errorf("%s: %v", name, tt.err)
		}
	}
	if _, err := NewBLSKey(make([]byte, 31)); err == nil {
		t.Error("31 bytes of key material accepted")
	}
}

// offGroup is a point on the curve outside the subgroup that signatures live in.
func offGroup(t *testing.T) [48]byte {
	for x := byte(1); x < 255; x++ {
		var p bls12381.G1Affine
		p.X.SetUint64(uint64(x))
		p.Y.Square(&p.X).Mul(&p.Y, &p.X)
		four := p.X
		four.SetUint64(4)
		p.Y.Add(&p.Y, &four)
		if p.Y.Legendre() != 1 {
			continue
		}
		p.Y.Sqrt(&p.Y)
		if p.IsOnCurve() && !p.IsInSubGroup() {
			return p.Bytes()
		}
	}
	t.Fatal("no point found")
	return [48]byte{}
}

func FuzzVerifyBLS(f *testing.F) {
	k, err := DeriveBLSKey(protocol.DeriveKey(1, "a"))
	if err != nil {
		f.Fatal(err)
	}
	sig, err := k.Sign([]byte("m"))
	if err != nil {
		f.Fatal(err)
	}
	pub := k.Public()
	f.Add(pub[:], sig[:])
	f.Fuzz(func(t *testing.T, p, s []byte) {
		var pk [96]byte
		var sg [48]byte
		copy(pk[:], p)
		copy(sg[:], s)
		if VerifyBLS(pk, []byte("m"), sg) == nil && pk == pub && sg != sig {
			t.Fatal("a second signature of one message")
		}
	})
}

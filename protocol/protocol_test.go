package protocol

import (
	"errors"
	"testing"

	"pgregory.net/rapid"
)

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
		bad := append([]byte{}, data...)
		bad[i] ^= 1
		if m, err := DecodeSigned[Commit](bad); err == nil && m.Verify() == nil {
			t.Fatalf("byte %d flipped and still valid", i)
		}
	}
}

// RFC 6962, section 2.1.1: a path verifies for its leaf and index alone.
func TestPathProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 70).Draw(t, "n")
		leaves := make([]Digest, n)
		for i := range leaves {
			leaves[i] = LeafHash([]byte{byte(i)})
		}
		i := rapid.IntRange(0, n-1).Draw(t, "i")
		p := PathTo(leaves, i)
		root := RootOf(leaves)
		if err := p.Check(leaves[i], root); err != nil {
			t.Fatal(err)
		}
		if p.Check(LeafHash([]byte("other")), root) == nil {
			t.Fatal("wrong leaf accepted")
		}
		if n > 1 {
			q := p
			q.Index = (q.Index + 1) % uint64(n)
			if err := q.Check(leaves[i], root); !errors.Is(err, ErrBadPath) {
				t.Fatalf("wrong index: %v", err)
			}
		}
	})
}

func TestPeerIDText(t *testing.T) {
	k := DeriveKey(7, "x")
	id, err := ParsePeerID(k.ID().String())
	if err != nil || id != k.ID() {
		t.Fatal(id, err)
	}
	t.Log(id)
}

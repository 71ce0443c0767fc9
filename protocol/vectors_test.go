package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/BurntSushi/toml"
)

var update = flag.Bool("update", false, "write the golden files in testdata anew")

// golden compares got with a committed file. A difference means that peers of two versions would no longer agree.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("%s differs from what this code gives, from byte %d on: the wire format changed", path, at)
	}
}

func goldenJSON(t *testing.T, name string, v any) {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, name, append(b, '\n'))
}

// Every message type: canonical encoding and digest, as other implementations must give them.
func TestMessageVectors(t *testing.T) {
	type vector struct {
		Name   string `json:"name"`
		Digest string `json:"digest,omitempty"`
		CBOR   string `json:"cbor"`
	}
	var vectors []vector
	for _, s := range samples(t) {
		again, err := s.again(s.data)
		if err != nil || !bytes.Equal(again, s.data) {
			t.Errorf("%s: decode, then encode: %v", s.name, err)
		}
		v := vector{Name: s.name, CBOR: hex.EncodeToString(s.data)}
		if !s.digest.IsZero() {
			v.Digest = s.digest.String()
		}
		vectors = append(vectors, v)
	}
	goldenJSON(t, "messages.json", vectors)
}

// The same RunSpec as run.toml, as the file that peers hash, and by its RunID.
func TestSpecVector(t *testing.T) {
	s := testSpec()
	var text bytes.Buffer
	enc := toml.NewEncoder(&text)
	enc.Indent = ""
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	golden(t, "run.toml", text.Bytes())
	var parsed RunSpec
	if err := ParseTOML("run.toml", text.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	if err := parsed.Validate(); err != nil {
		t.Fatal(err)
	}
	data, err := Encode(&parsed)
	if err != nil {
		t.Fatal(err)
	}
	id := mustID(t, &parsed)
	goldenJSON(t, "run.json", map[string]string{"run_id": id.String(), "cbor": hex.EncodeToString(data)})
	back, err := DecodeSpec(data, id)
	if err != nil || *back != *s {
		t.Fatalf("decoded spec differs: %v", err)
	}
}

// The encoding and the digests, assembled by hand from docs/protocol.md rather than by this package.
func TestEncodingByHand(t *testing.T) {
	k := DeriveKey(1, "peer0")
	run, id := Hash("some run"), k.ID()
	body := []byte{0x83, 0x58, 32}   // array of 3; byte string of 32
	body = append(body, run[:]...)   //
	body = append(body, 0x58, 33)    // byte string of 33
	body = append(body, id[:]...)    //
	body = append(body, 0x19, 1, 44) // unsigned 300 in its shortest form
	leave := Leave{Run: run, Peer: id, Nonce: 300}
	if got := mustEncode(leave); !bytes.Equal(got, body) {
		t.Errorf("body\n got %x\nwant %x", got, body)
	}
	s := Sign(k, leave)
	whole := append(append([]byte{0x82}, body...), append([]byte{0x58, 64}, s.Sig[:]...)...)
	if got := s.Encode(); !bytes.Equal(got, whole) {
		t.Errorf("signed\n got %x\nwant %x", got, whole)
	}
	if want := sha256.Sum256(append([]byte("drystone/1/leave\x00"), body...)); s.Digest() != want {
		t.Errorf("digest %s, want %x", s.Digest(), want)
	}
}

// Domains keep one message from passing for another, so no two may be equal, nor one hold the separator.
func TestDomainsDiffer(t *testing.T) {
	domains := []string{DomainRun, DomainStatement, DomainJoin, DomainLeave, DomainCommit, DomainReceipt, DomainAttest,
		DomainPayload, DomainDraw, DomainSeed, DomainVerdict, DomainStates, DomainCheckpoint}
	seen := map[Digest]string{}
	for _, d := range domains {
		h := Hash(d, []byte("x"))
		if other, dup := seen[h]; dup {
			t.Errorf("domains %q and %q give one digest", d, other)
		}
		seen[h] = d
		if bytes.IndexByte([]byte(d), 0) >= 0 {
			t.Errorf("domain %q holds the separator", d)
		}
	}
}

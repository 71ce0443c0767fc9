package protocol

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// fuzzMessages checks a decoder on hostile input: it returns a value or ErrNotCanonical or ErrTooLarge and never panics,
// and what it accepts encodes to the very bytes it came from.
func fuzzMessages(f *testing.F, want ...string) {
	var decoders []func([]byte) ([]byte, error)
	for _, s := range samples(f) {
		if slices.Contains(want, s.name) {
			f.Add(s.data)
			f.Add(s.data[:len(s.data)/2])
			f.Add(bytes.Replace(s.data, []byte{0x58, 32}, []byte{0x58, 31}, 1))
			decoders = append(decoders, s.again)
		}
	}
	if len(decoders) != len(want) {
		f.Fatalf("%d samples of %d named", len(decoders), len(want))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for i, again := range decoders {
			got, err := again(data)
			if err != nil {
				if !errors.Is(err, ErrNotCanonical) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrBadSpec) {
					t.Fatalf("%s: error of no known kind: %v", want[i], err)
				}
				continue
			}
			if !bytes.Equal(got, data) {
				t.Fatalf("%s: decoded, then encoded:\n got %x\nfrom %x", want[i], got, data)
			}
		}
	})
}

func FuzzDecodeSpec(f *testing.F)     { fuzzMessages(f, "RunSpec") }
func FuzzDecodeManifest(f *testing.F) { fuzzMessages(f, "Manifest") }
func FuzzDecodeSigned(f *testing.F) {
	fuzzMessages(f, "Join", "Join of 2 shards", "Leave", "Commit", "Receipt", "Attest", "Attest to 2 shards", "Draw", "Verdict", "Partial", "ShardCertificate",
		"ShardCertificate with an update")
}
func FuzzDecodeStatement(f *testing.F) { fuzzMessages(f, "SignedStatement") }
func FuzzDecodeBody(f *testing.F) {
	fuzzMessages(f, "body Genesis", "body Open", "body Open with capacities", "body Open with delay", "body Freeze", "body RevealSet",
		"body Certificate", "body Certificate with updates",
		"body Council", "body End")
}
func FuzzDecodeReveal(f *testing.F)     { fuzzMessages(f, "Reveal") }
func FuzzDecodeOpening(f *testing.F)    { fuzzMessages(f, "OpenRequest", "Opening") }
func FuzzDecodeSettlement(f *testing.F) { fuzzMessages(f, "Settlement", "Payout", "Rotation") }
func FuzzDecodeControl(f *testing.F) {
	fuzzMessages(f, "Control pause", "Control replace", "Contradiction")
}

// FuzzGenesis opens hostile Genesis statements: no body, however odd, panics or passes unsigned.
func FuzzGenesis(f *testing.F) {
	w := newWorld(f)
	f.Add(w.genesis.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := DecodeStatement(data)
		if err != nil {
			return
		}
		if g, _, err := OpenGenesis(w.spec, w.run, s); err == nil && s.Statement.Digest() != w.genesis.Statement.Digest() {
			t.Fatalf("a Genesis that nobody signed: %+v", g)
		}
	})
}

// FuzzPath checks paths of any shape against a fixed tree: only the true leaf of an index passes.
func FuzzPath(f *testing.F) {
	leaves := make([]Digest, 13)
	for i := range leaves {
		leaves[i] = LeafHash([]byte{byte(i)})
		f.Add(mustEncode(PathTo(leaves[:i+1], i)), byte(i))
	}
	root := RootOf(leaves)
	f.Fuzz(func(t *testing.T, data []byte, leaf byte) {
		var p Path
		if Decode(data, MaxMessage, &p) != nil {
			return
		}
		if p.Check(LeafHash([]byte{leaf}), root) == nil && p.Size == 13 && p.Index != uint64(leaf) {
			t.Fatalf("leaf %d proved at %d", leaf, p.Index)
		}
	})
}

// FuzzParseTOML: text never panics the parser, and a valid spec from it keeps its RunID through run.toml and the wire.
func FuzzParseTOML(f *testing.F) {
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(testSpec()); err != nil {
		f.Fatal(err)
	}
	f.Add(text.Bytes())
	f.Add([]byte("seed = 1\nSeed = 2\n"))
	f.Add([]byte("[train]\nlr = nan\nsteps = 0x10\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var s RunSpec
		if ParseTOML("run.toml", data, &s) != nil || s.Validate() != nil {
			return
		}
		useSpec(t, &s)
		enc, err := Encode(&s)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := DecodeSpec(enc, Hash(DomainRun, enc)); err != nil || *back != s {
			t.Fatalf("%v\n got %+v\nwant %+v", err, back, s)
		}
	})
}

// FuzzValidate draws specs field by field: Validate never panics, and what it accepts is safe to compute with.
func FuzzValidate(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) {
		s := genSpec().Draw(t, "spec")
		fields := fieldsOf(s)
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			v := fields[rapid.SampledFrom(names).Draw(t, "field")]
			if v.CanInt() {
				v.SetInt(rapid.Int64().Draw(t, "int"))
			} else if v.CanUint() {
				v.SetUint(rapid.Uint64().Draw(t, "uint"))
			} else if v.CanFloat() {
				v.SetFloat(rapid.Float64().Draw(t, "float"))
			}
		}
		if s.Validate() == nil {
			useSpec(t, s)
		}
	}))
}

// FuzzText: whatever parses as a peer ID, an address or a digest prints as what it was.
func FuzzText(f *testing.F) {
	f.Add(DeriveKey(1, "a").ID().String())
	f.Add(Address{1}.String())
	f.Add(Hash("test").String())
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePeerID(s); err == nil && p.String() != s {
			t.Fatalf("peer %q prints as %q", s, p)
		}
		if a, err := ParseAddress(s); err == nil && a.String() != strings.ToLower(s) {
			t.Fatalf("address %q prints as %q", s, a)
		}
		if d, err := ParseDigest(s); err == nil && d.String() != strings.ToLower(s) {
			t.Fatalf("digest %q prints as %q", s, d)
		}
	})
}

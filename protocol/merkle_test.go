package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"pgregory.net/rapid"
)

// The test inputs of the Certificate Transparency reference implementation, and its root over all eight.
func TestRootOfReference(t *testing.T) {
	var leaves []Digest
	for _, s := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, LeafHash(b))
	}
	for n, want := range map[int]string{
		0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	} {
		if got := RootOf(leaves[:n]); got.String() != want {
			t.Errorf("root of %d leaves: %s, want %s", n, got, want)
		}
	}
}

// Roots of bulk data at the edges of leaves, committed for other implementations.
func TestMerkleVectors(t *testing.T) {
	type vector struct {
		Bytes  int    `json:"bytes"` // of the sequence 0, 1, ..., 250, 0, 1, ...
		Leaves int    `json:"leaves"`
		Root   string `json:"root"`
	}
	var vectors []vector
	for _, n := range []int{0, 1, LeafSize - 1, LeafSize, LeafSize + 1, 2 * LeafSize, 5*LeafSize + 7} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i % 251)
		}
		vectors = append(vectors, vector{n, len(DataLeaves(data)), MerkleRoot(data).String()})
	}
	goldenJSON(t, "merkle.json", vectors)
}

// RFC 6962, section 2.1.1: a path verifies for its leaf and index alone, and an independent implementation agrees.
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
		nodes := make([][]byte, len(p.Nodes))
		for j := range p.Nodes {
			nodes[j] = p.Nodes[j][:]
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(n), leaves[i][:], nodes, root[:]); err != nil {
			t.Fatalf("transparency-dev/merkle refuses the path: %v", err)
		}
		for name, q := range mutatePath(t, p) {
			if err := q.Check(leaves[i], root); !errors.Is(err, ErrBadPath) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if p.Check(LeafHash([]byte("other")), root) == nil {
			t.Fatal("wrong leaf accepted")
		}
	})
}

// mutatePath returns paths that differ from p in one respect.
func mutatePath(t *rapid.T, p Path) map[string]Path {
	with := func(change func(*Path)) Path {
		q := p
		q.Nodes = slices.Clone(p.Nodes)
		change(&q)
		return q
	}
	m := map[string]Path{
		"node too many": with(func(q *Path) { q.Nodes = append(q.Nodes, Digest{}) }),
		"index beyond":  with(func(q *Path) { q.Index = q.Size }),
		"no leaves":     with(func(q *Path) { q.Size = 0 }),
		"huge tree":     with(func(q *Path) { q.Size = 1<<64 - 1 }),
	}
	if p.Size > 1 {
		j := rapid.IntRange(0, len(p.Nodes)-1).Draw(t, "node")
		m["other index"] = with(func(q *Path) { q.Index = (q.Index + 1) % q.Size })
		m["changed node"] = with(func(q *Path) { q.Nodes[j][0] ^= 1 })
		m["node missing"] = with(func(q *Path) { q.Nodes = q.Nodes[:len(q.Nodes)-1] })
	}
	return m
}

func TestPathToPanicsOutOfRange(t *testing.T) {
	for _, i := range []int{-1, 2} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("index %d: no panic", i)
				}
			}()
			PathTo(make([]Digest, 2), i)
		}()
	}
}

// A manifest lists exactly the chunks that its length needs, whatever length a hostile one claims.
func TestManifest(t *testing.T) {
	data := pattern("manifest", 2*ChunkSize+5)
	m := NewManifest(data)
	got, err := DecodeManifest(m.Encode())
	if err != nil || got.Bytes != uint64(len(data)) || len(got.Chunks) != 3 {
		t.Fatalf("%+v %v", got, err)
	}
	if got.Chunks[2] != MerkleRoot(data[2*ChunkSize:]) {
		t.Error("last chunk's root is not over its own bytes")
	}
	if empty := NewManifest(nil); !bytes.Equal(empty.Encode(), []byte{0x82, 0x00, 0x80}) {
		t.Errorf("empty manifest: %x", empty.Encode())
	}
	for _, bad := range []Manifest{
		{Bytes: 1, Chunks: []Digest{}},
		{Bytes: 0, Chunks: []Digest{{}}},
		{Bytes: ChunkSize + 1, Chunks: []Digest{{}}},
		{Bytes: 1<<64 - 1, Chunks: []Digest{}},
	} {
		if _, err := DecodeManifest(bad.Encode()); !errors.Is(err, ErrNotCanonical) {
			t.Errorf("%d bytes in %d chunks: %v", bad.Bytes, len(bad.Chunks), err)
		}
	}
}

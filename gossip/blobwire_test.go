package gossip

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"drystone/protocol"
)

// drawReply draws an answer whose piece is proven.
func drawReply(t *rapid.T) (d protocol.Digest, r pieceReply) {
	size := rapid.Int64Range(1, 9*pieceSize+77).Draw(t, "size")
	n := pieces(size)
	h := have{size: size}
	if rapid.Bool().Draw(t, "partial") {
		h.set = newPieceSet(n)
		for i := range n {
			if rapid.Bool().Draw(t, "has") {
				h.set.add(i)
			}
		}
	}
	blob := make([]byte, size)
	var hashes []protocol.Digest
	for i := range n {
		blob[int64(i)*pieceSize] = byte(i + 1)
		hashes = append(hashes, protocol.MerkleRoot(blob[int64(i)*pieceSize:][:pieceBytes(size, i)]))
	}
	i := rapid.IntRange(0, n-1).Draw(t, "index")
	p := proven{index: i, size: size, nodes: protocol.PathTo(hashes, i).Nodes, data: blob[int64(i)*pieceSize:][:pieceBytes(size, i)]}
	return protocol.MerkleRoot(blob), pieceReply{have: h, proven: p}
}

// What is encoded is decoded, and a piece's path leads to the digest of the whole (RFC 6962, section 2.1.1).
func TestPieceReply(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, r := drawReply(t)
		b := r.append(nil)
		got, err := decodePieceReply(b)
		if err != nil || !bytes.Equal(got.append(nil), b) || got.check(d) != nil {
			t.Fatal(err, got.check(d))
		}
		if len(b) > maxPieceReply {
			t.Fatalf("%d bytes", len(b))
		}
		for i := range pieces(r.have.size) {
			if got.have.has(i) != r.have.has(i) {
				t.Fatalf("piece %d", i)
			}
		}
		r.data = bytes.Clone(r.data)
		r.data[rapid.IntRange(0, len(r.data)-1).Draw(t, "flip")] ^= 1
		if r.check(d) == nil {
			t.Fatal("changed data passes")
		}
		r.wait = time.Duration(rapid.IntRange(1, int(maxHint/time.Millisecond)).Draw(t, "wait")) * time.Millisecond
		if got, err := decodePieceReply(r.append(nil)); err != nil || got.wait != r.wait || got.data != nil {
			t.Fatal(got.wait, err)
		}
	})
}

func FuzzDecodeHave(f *testing.F) {
	f.Add(have{size: 1}.append(nil))
	f.Add(have{size: 9 * pieceSize, set: pieceSet{3, 1}}.append(nil))
	f.Add(bytes.Repeat([]byte{255}, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHave(b)
		if err == nil && (h.size < 1 || h.size > maxBlobSize || len(b) > maxHave || !bytes.Equal(h.append(nil), b)) {
			t.Fatal(h)
		}
	})
}

func FuzzDecodePieceRequest(f *testing.F) {
	f.Add(encodePieceRequest(protocol.Hash("x"), 3))
	f.Add(bytes.Repeat([]byte{255}, pieceRequest))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, i, err := decodePieceRequest(b)
		if err == nil && (i < 0 || i >= maxPieces || !bytes.Equal(encodePieceRequest(d, i), b)) {
			t.Fatal(i)
		}
	})
}

func FuzzDecodePieceReply(f *testing.F) {
	p := proven{size: 3, data: []byte("abc")}
	f.Add(pieceReply{have: have{size: 3}, proven: p}.append(nil))
	f.Add(pieceReply{have: have{size: 3, set: pieceSet{1}}, wait: time.Second}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodePieceReply(b); err == nil && !bytes.Equal(r.append(nil), b) {
			t.Fatal(r)
		}
	})
}

func FuzzDecodeProven(f *testing.F) {
	f.Add(proven{size: 3, data: []byte("abc"), nodes: []protocol.Digest{{1}}}.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodeProven(b)
		if err == nil && (len(p.data) != pieceBytes(p.size, p.index) || p.index >= pieces(p.size) || !bytes.Equal(p.append(nil), b)) {
			t.Fatal(p.index, p.size)
		}
		if err == nil {
			_ = p.check(protocol.Digest{})
		}
	})
}

package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"drystone/protocol"
)

// A blob is cut into pieces of pieceLeaves leaves. A piece's hash is the MerkleRoot of its bytes. Since pieceLeaves is a
// power of two, the hashes of the pieces fold to the blob's digest just as its leaves do (RFC 6962 splits at powers of
// two), and so a path from one piece proves it alone, against nothing but the digest.
//
// Calls of the blob exchange, in which all numbers are big-endian:
//
//	blob/have
//	            +-----------+
//	request     | digest 32 |
//	            +-----------+
//	            +----------+========+
//	response    | size u64 | pieces |       what the peer has
//	            +----------+========+
//
//	blob/piece
//	            +-----------+-----------+
//	request     | digest 32 | index u32 |
//	            +-----------+-----------+
//	            +-------------+----------+=============+========+===================+
//	response    | wait_ms u16 | size u64 | length u16  | pieces | proven, if wait=0 |
//	            +-------------+----------+=============+========+===================+
//	            +-----------+----------+----------+===========+======+
//	proven      | index u32 | size u64 | nodes u8 | node 32 … | data |
//	            +-----------+----------+----------+===========+======+
//
// pieces is empty if all pieces are there; else it has one bit per piece, the lowest bit of the first byte first, with the
// spare bits zero. wait_ms > 0 means that the peer uploads to others: ask again after so many milliseconds. A proven piece
// is also one frame of the file in which a fetch keeps what it has (PartStore).
const (
	haveCall    = "blob/have"
	pieceCall   = "blob/piece"
	pieceLeaves = 32 // 512 KiB
	pieceSize   = pieceLeaves * protocol.LeafSize
	maxBlobSize = 4 << 30
	maxPieces   = maxBlobSize / pieceSize
	maxNodes    = 13 // of a path: maxPieces is 2^13

	pieceRequest  = 32 + 4
	maxHave       = 8 + maxPieces/8
	maxProven     = 4 + 8 + 1 + 32*maxNodes + pieceSize
	maxPieceReply = 2 + 8 + 2 + maxPieces/8 + maxProven
)

var errWire = errors.New("malformed")

// pieces returns the number of pieces of a blob of size bytes.
func pieces(size int64) int { return int((size + pieceSize - 1) / pieceSize) }

// pieceBytes returns the bytes of piece i of a blob of size bytes.
func pieceBytes(size int64, i int) int { return int(min(pieceSize, size-int64(i)*pieceSize)) }

// pieceSet is a set of pieces, as on the wire.
type pieceSet []byte

func newPieceSet(n int) pieceSet { return make(pieceSet, (n+7)/8) }

func (s pieceSet) has(i int) bool { return s[i/8]>>(i%8)&1 == 1 }
func (s pieceSet) add(i int)      { s[i/8] |= 1 << (i % 8) }

// have is what a peer has of a blob. A nil set means all of it.
type have struct {
	size int64
	set  pieceSet
}

func (h have) has(i int) bool { return h.set == nil || h.set.has(i) }

func (h have) append(b []byte) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(h.size)), h.set...)
}

func decodeHave(b []byte) (have, error) {
	if len(b) < 8 {
		return have{}, fmt.Errorf("%w: blob/have answer of %d bytes", errWire, len(b))
	}
	size := binary.BigEndian.Uint64(b)
	if size == 0 || size > maxBlobSize {
		return have{}, fmt.Errorf("%w: blob of %d bytes, want 1 to %d", errWire, size, int64(maxBlobSize))
	}
	h := have{size: int64(size)}
	if len(b) == 8 {
		return h, nil
	}
	n := pieces(h.size)
	h.set = append(pieceSet{}, b[8:]...)
	if len(h.set) != (n+7)/8 || n%8 != 0 && h.set[n/8]>>(n%8) != 0 {
		return have{}, fmt.Errorf("%w: %d bytes of bits for %d pieces", errWire, len(h.set), n)
	}
	return h, nil
}

func encodePieceRequest(d protocol.Digest, index int) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, pieceRequest), d[:]...), uint32(index))
}

func decodePieceRequest(b []byte) (d protocol.Digest, index int, err error) {
	if len(b) != pieceRequest {
		return d, 0, fmt.Errorf("%w: request of %d bytes, want %d", errWire, len(b), pieceRequest)
	}
	n := binary.BigEndian.Uint32(b[32:])
	if n >= maxPieces {
		return d, 0, fmt.Errorf("%w: piece %d, want less than %d", errWire, n, maxPieces)
	}
	return protocol.Digest(b[:32]), int(n), nil
}

// proven is a piece with the path that proves it.
type proven struct {
	index int
	size  int64 // of the blob
	nodes []protocol.Digest
	data  []byte
}

func (p proven) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(p.index))
	b = binary.BigEndian.AppendUint64(b, uint64(p.size))
	b = append(b, byte(len(p.nodes)))
	for _, n := range p.nodes {
		b = append(b, n[:]...)
	}
	return append(b, p.data...)
}

// decodeProven reads a piece whose data has the length that its index and size call for. It checks no hash; data is a part of b.
func decodeProven(b []byte) (proven, error) {
	if len(b) < 13 || len(b) > maxProven {
		return proven{}, fmt.Errorf("%w: piece of %d bytes", errWire, len(b))
	}
	index, size, n := binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:]), int(b[12])
	b = b[13:]
	if size == 0 || size > maxBlobSize || int64(index) >= int64(pieces(int64(size))) || n > maxNodes || len(b) < 32*n {
		return proven{}, fmt.Errorf("%w: piece %d of a blob of %d bytes with %d nodes", errWire, index, size, n)
	}
	p := proven{index: int(index), size: int64(size), nodes: make([]protocol.Digest, n), data: b[32*n:]}
	for i := range p.nodes {
		p.nodes[i] = protocol.Digest(b[32*i : 32*i+32])
	}
	if want := pieceBytes(p.size, p.index); len(p.data) != want {
		return proven{}, fmt.Errorf("%w: piece %d has %d bytes, want %d", errWire, index, len(p.data), want)
	}
	return p, nil
}

// check verifies the piece against the blob's digest. A piece can be right under more than one size: see fetch.
func (p proven) check(d protocol.Digest) error {
	path := protocol.Path{Index: uint64(p.index), Size: uint64(pieces(p.size)), Nodes: p.nodes}
	return path.Check(protocol.MerkleRoot(p.data), d)
}

// pieceReply is the answer to a request for a piece: the piece, or how long to wait.
type pieceReply struct {
	wait time.Duration // whole milliseconds, at most maxHint
	have have
	proven
}

func (r pieceReply) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(r.wait.Milliseconds()))
	b = binary.BigEndian.AppendUint64(b, uint64(r.have.size))
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.have.set)))
	b = append(b, r.have.set...)
	if r.wait > 0 {
		return b
	}
	return r.proven.append(b)
}

func decodePieceReply(b []byte) (pieceReply, error) {
	if len(b) < 12 {
		return pieceReply{}, fmt.Errorf("%w: blob/piece answer of %d bytes", errWire, len(b))
	}
	wait := time.Duration(binary.BigEndian.Uint16(b)) * time.Millisecond
	n := int(binary.BigEndian.Uint16(b[10:]))
	if len(b) < 12+n {
		return pieceReply{}, fmt.Errorf("%w: blob/piece answer of %d bytes with %d of bits", errWire, len(b), n)
	}
	h, err := decodeHave(append(append([]byte{}, b[2:10]...), b[12:12+n]...))
	if err != nil {
		return pieceReply{}, err
	}
	b = b[12+n:]
	r := pieceReply{wait: wait, have: h}
	switch {
	case wait > 0 && len(b) > 0:
		return pieceReply{}, fmt.Errorf("%w: blob/piece answer with a wait and %d bytes more", errWire, len(b))
	case wait > 0:
		return r, nil
	}
	if r.proven, err = decodeProven(b); err == nil && r.proven.size != h.size {
		err = fmt.Errorf("%w: two sizes in one answer", errWire)
	}
	return r, err
}

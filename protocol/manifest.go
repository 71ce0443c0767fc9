package protocol

import "fmt"

// ChunkSize is the size in bytes of every dataset chunk but the last.
const ChunkSize = 1 << 20

// MaxManifest bounds an encoded Manifest: 16,384 chunks, 16 GiB of data.
const MaxManifest = 1 << 20

// Manifest lists a dataset as content-addressed chunks, in order. Any peer can serve them.
type Manifest struct {
	_      struct{} `cbor:",toarray"`
	Bytes  uint64   // length of the dataset
	Chunks []Digest // MerkleRoot of each ChunkSize piece
}

// NewManifest describes data.
func NewManifest(data []byte) Manifest {
	m := Manifest{Bytes: uint64(len(data)), Chunks: []Digest{}}
	for len(data) > 0 {
		n := min(ChunkSize, len(data))
		m.Chunks = append(m.Chunks, MerkleRoot(data[:n]))
		data = data[n:]
	}
	return m
}

// Encode returns the canonical encoding; MerkleRoot of it is DataSpec.Manifest.
func (m *Manifest) Encode() []byte { return mustEncode(m) }

// DecodeManifest decodes a Manifest and checks that its chunks add up to its length.
func DecodeManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := Decode(data, MaxManifest, &m); err != nil {
		return nil, err
	}
	want := m.Bytes / ChunkSize
	if m.Bytes%ChunkSize != 0 {
		want++ // not Bytes+ChunkSize-1 above: a hostile length would wrap round to no chunks
	}
	if want != uint64(len(m.Chunks)) {
		return nil, fmt.Errorf("manifest of %d bytes lists %d chunks, want %d: %w", m.Bytes, len(m.Chunks), want, ErrNotCanonical)
	}
	return &m, nil
}

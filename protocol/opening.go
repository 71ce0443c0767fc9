package protocol

// OpenRequest asks a contributor to open what a check needs. Only aggregators of the run may ask.
type OpenRequest struct {
	_       struct{} `cbor:",toarray"`
	Run     Digest
	Round   uint32
	Segment uint32   // 0 to S-1
	Chunks  []uint32 // codec chunks, distinct and ascending
}

// Opening is the answer: the states around the drawn segment and the drawn codec chunks, each with its path to the
// trace root of the commit. Segment i runs from leaf i to leaf i+1; leaf 0 is the public start, with moments zero.
type Opening struct {
	_         struct{}   `cbor:",toarray"`
	From      TraceState // leaf Segment; zero for segment 0
	FromPath  Path
	To        TraceState // leaf Segment+1
	ToPath    Path
	Final     TraceState // leaf S, whose theta the codec encoded
	FinalPath Path
	Theta     []byte // the state at From, 4 bytes per parameter; empty for segment 0 and for prefix replay
	M         []byte // 4 bytes per parameter of the assigned shards, likewise
	V         []byte
	Chunks    []ChunkOpening
}

// ChunkOpening opens 4096 parameters (fewer at the end of the vector) of three vectors, as little-endian float32: the
// peer's final theta, and its error feedback before and after encoding. The error feedback is empty for a codec without.
type ChunkOpening struct {
	_          struct{} `cbor:",toarray"`
	Index      uint32
	Theta      []byte
	ThetaPath  Path // under Final.Theta
	Before     []byte
	BeforePath Path // under TraceStart.Feedback; empty, with Before, if that is zero
	After      []byte
	AfterPath  Path // under TraceEnd.Feedback
}

// MaxOpening bounds the encoding of an Opening of a model of params parameters.
func MaxOpening(params int, chunks uint32) int {
	return 12*params + int(chunks+1)*(3*LeafSize+8<<10) + 64<<10
}

// Encode returns the canonical encoding.
func (o *Opening) Encode() []byte { return mustEncode(o) }

// DecodeOpening decodes an Opening of at most limit bytes.
func DecodeOpening(data []byte, limit int) (*Opening, error) {
	var o Opening
	if err := decodeWith(proofMode, data, limit, &o); err != nil {
		return nil, err
	}
	return &o, nil
}

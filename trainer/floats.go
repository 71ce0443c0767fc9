package trainer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"
	"unsafe"

	"drystone/protocol"
)

// littleEndian says that a float32 lies in memory as it does on the wire.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// floatBytes returns x as little-endian bytes: a view of x's own memory where the machine allows, so the caller must not
// write to it nor keep it longer than x stays unchanged.
func floatBytes(x []float32) []byte {
	if littleEndian {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
	}
	b := make([]byte, 0, 4*len(x))
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// equalBits reports whether x and y, of one length, hold the same bits.
func equalBits(x, y []float32) bool { return bytes.Equal(floatBytes(x), floatBytes(y)) }

// parseFloats decodes n little-endian float32. The error wraps ErrMalformed.
func parseFloats(what string, b []byte, n int) ([]float32, error) {
	if len(b) != 4*n {
		return nil, fmt.Errorf("%w: %s has %d bytes, want %d", ErrMalformed, what, len(b), 4*n)
	}
	x := make([]float32, n)
	for i := range x {
		x[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return x, nil
}

// Root returns the MerkleRoot over x as little-endian float32: ModelRoot if x is theta. It hashes on several threads.
func Root(x []float32) protocol.Digest { return protocol.RootOf(floatLeaves(x)) }

// floatLeaves returns the leaf hashes of Root. One leaf holds one codec chunk.
func floatLeaves(x []float32) []protocol.Digest {
	data := floatBytes(x)
	leaves := make([]protocol.Digest, (len(data)+protocol.LeafSize-1)/protocol.LeafSize)
	workers := min(runtime.GOMAXPROCS(0), len(leaves)/16+1)
	share := (len(leaves) + workers - 1) / workers
	var wg sync.WaitGroup
	for lo := 0; lo < len(leaves); lo += share {
		hi := min(lo+share, len(leaves))
		wg.Go(func() {
			copy(leaves[lo:hi], protocol.DataLeaves(data[lo*protocol.LeafSize:min(hi*protocol.LeafSize, len(data))]))
		})
	}
	wg.Wait()
	return leaves
}

// finite returns ErrDiverged if x holds a NaN or an infinity.
func finite(what string, x []float32) error {
	const exponent = 0x7f800000
	for i, v := range x {
		if math.Float32bits(v)&exponent == exponent {
			return fmt.Errorf("%w: %s is %v at parameter %d", ErrDiverged, what, v, i)
		}
	}
	return nil
}

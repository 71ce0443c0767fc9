package node

import (
	"encoding/binary"
	"fmt"
	"math"
)

// floatBytes returns the little-endian bytes of a vector: what a ModelRoot is taken over.
func floatBytes(v []float32) []byte {
	b := make([]byte, 4*len(v))
	for i, x := range v {
		binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(x))
	}
	return b
}

// bytesFloats is the inverse of floatBytes for a vector of n values.
func bytesFloats(b []byte, n int) ([]float32, error) {
	if len(b) != 4*n {
		return nil, fmt.Errorf("a vector of %d bytes, want %d for %d parameters", len(b), 4*n, n)
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return v, nil
}

package delta

import (
	"encoding/binary"
	"fmt"
	"math"
)

// expMask covers the exponent of a float32: all ones means NaN or infinite.
const expMask = 0x7f800000

// appendDense appends the values of one chunk.
func (c Codec) appendDense(dst []byte, u []float32) ([]byte, error) {
	if c.vec.top(u) >= expMask {
		return dst, notFinite(u)
	}
	start := len(dst)
	dst = append(dst, make([]byte, 4*len(u))...)
	out := dst[start:]
	for i, x := range u {
		binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(x))
	}
	return dst, nil
}

// notFinite names the first value of x that is NaN or infinite; there is one.
func notFinite(x []float32) error {
	for i, y := range x {
		if magnitudeBits(y) >= expMask {
			return fmt.Errorf("%w: %v at %d", ErrNotFinite, y, i)
		}
	}
	return ErrNotFinite
}

func checkDense(chunk []byte) error {
	for i := 0; i < len(chunk); i += 4 {
		if b := binary.LittleEndian.Uint32(chunk[i:]); b&expMask == expMask {
			return fmt.Errorf("%w: bits %08x at %d", ErrNotFinite, b, i/4)
		}
	}
	return nil
}

// squaresDense folds the squares from +0 in order of index.
func squaresDense(chunk []byte) float64 {
	var sum float64
	for j := range len(chunk) / 4 {
		v := float64(denseAt(chunk, j))
		sum += float64(v * v)
	}
	return sum
}

func denseAt(chunk []byte, j int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(chunk[4*j:]))
}

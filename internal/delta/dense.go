package delta

import (
	"encoding/binary"
	"fmt"
	"math"

	"drystone/internal/exact"
)

// expMask covers the exponent of a float32: all ones means NaN or infinite.
const expMask = 0x7f800000

func appendDense(dst []byte, u []float32) ([]byte, error) {
	for i, x := range u {
		if math.Float32bits(x)&expMask == expMask {
			return dst, fmt.Errorf("%w: %v at %d", ErrNotFinite, x, i)
		}
	}
	for _, x := range u {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(x))
	}
	return dst, nil
}

func checkDense(chunk []byte) error {
	for i := 0; i < len(chunk); i += 4 {
		if b := binary.LittleEndian.Uint32(chunk[i:]); b&expMask == expMask {
			return fmt.Errorf("%w: bits %08x at %d", ErrNotFinite, b, i/4)
		}
	}
	return nil
}

func addDense(acc []float32, w float32, chunk []byte) {
	for j := range acc {
		acc[j] = exact.FMA32(w, denseAt(chunk, j), acc[j])
	}
}

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

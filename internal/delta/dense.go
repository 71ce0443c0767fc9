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

// squaresDense is SumSquares. It adds four chunks' squares side by side, since those of one wait for one another. No
// square of a float32 overflows float64, so that a sum is finite exactly if all values are.
func (c Codec) squaresDense(payload []byte, n int) (total float64, err error) {
	const width = 4 * ChunkParams
	if n < 0 || n > math.MaxInt/8 || len(payload) != 4*n {
		return 0, fmt.Errorf("%w: payload of %d bytes does not encode %d parameters", ErrLength, len(payload), n)
	}
	rest := payload
	for ; len(rest) >= 4*width; rest = rest[4*width:] {
		var s0, s1, s2, s3 float64
		for j := range ChunkParams {
			v0, v1 := float64(denseAt(rest, j)), float64(denseAt(rest, j+ChunkParams))
			v2, v3 := float64(denseAt(rest, j+2*ChunkParams)), float64(denseAt(rest, j+3*ChunkParams))
			s0 += float64(v0 * v0)
			s1 += float64(v1 * v1)
			s2 += float64(v2 * v2)
			s3 += float64(v3 * v3)
		}
		total = (((total + s0) + s1) + s2) + s3
	}
	for len(rest) > 0 {
		chunk, sum := rest[:min(width, len(rest))], 0.0
		for j := range len(chunk) / 4 {
			v := float64(denseAt(chunk, j))
			sum += float64(v * v)
		}
		total += sum
		rest = rest[len(chunk):]
	}
	if !(total <= math.MaxFloat64) {
		return 0, c.Validate(payload, n)
	}
	return total, nil
}

func denseAt(chunk []byte, j int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(chunk[4*j:]))
}

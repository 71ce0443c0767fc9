package exact

import (
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"drystone/internal/exact/f64"
)

var (
	exhaustive = flag.Bool("exhaustive", false, "test scalar functions on all float32 instead of a sample")
	stride     = flag.Uint64("stride", sampleStride, "test scalar functions on one float32 in so many")
)

// sampleStride is the stride of the golden sample.
const sampleStride = 4099

// scalars lists each function with its float64 counterpart and the inputs for
// which the contract selects something else than the value nearby.
var scalars = []struct {
	name string
	f    func(float32) float32
	ref  func(float64) float64
	skip func(x float32) bool
}{
	{"exp", Exp, math.Exp, func(x float32) bool { return x < -87.33654 }},
	{"log", Log, math.Log, func(x float32) bool { return x < 0 }},
	{"sigmoid", Sigmoid, f64.Sigmoid, func(x float32) bool { return x < -87.33654 }},
	{"silu", Silu, f64.Silu, func(x float32) bool {
		return x < -87.33654 || x > math.MaxFloat32
	}},
	{"gelu", Gelu, f64.Gelu, func(x float32) bool { return x < -10 }},
	{"tanh", Tanh, math.Tanh, func(float32) bool { return false }},
}

// scalarChunk is the outcome for inputs that share the first byte.
type scalarChunk struct {
	worst  float64
	at     float32
	digest [sha256.Size]byte
}

func runScalar(i int, chunk, step uint64) (r scalarChunk) {
	s, h, buf := scalars[i], sha256.New(), make([]byte, 0, 4<<12)
	for b := chunk << 24; b < (chunk+1)<<24; b += step {
		x := math.Float32frombits(uint32(b))
		y := s.f(x)
		bits := math.Float32bits(y)
		if y != y {
			bits = 0x7fc00000
		}
		if buf = binary.LittleEndian.AppendUint32(buf, bits); len(buf) == cap(buf) {
			h.Write(buf)
			buf = buf[:0]
		}
		if x != x || s.skip(x) {
			continue
		}
		if u := f64.ULP(y, s.ref(float64(x))); !(u <= r.worst) {
			r.worst, r.at = u, x
		}
	}
	h.Write(buf)
	h.Sum(r.digest[:0])
	return r
}

// docs/numerics.md, section 3: at most 2 ulp against float64, which leaves none in
// doubt unless the answer were within 2^-28 of the bound; and the bits of the golden digests:
// SHA-256 over the SHA-256 of the results for each first byte of the input. All
// inputs take two to five minutes of processor time a function.
func TestScalars(t *testing.T) {
	golden, step, kind := readGolden(t), max(1, *stride), "sample"
	if *exhaustive {
		step = 1
	}
	if step == 1 {
		kind = "all"
	}
	for i, s := range scalars {
		t.Run(s.name, func(t *testing.T) {
			worst, digest := runChunks(i, step)
			t.Logf("one in %d: at most %.4f ulp, at %x = %v", step, worst.worst, worst.at, worst.at)
			if !(worst.worst <= 2) {
				t.Errorf("%.4f ulp at %x", worst.worst, worst.at)
			}
			if step == 1 || step == sampleStride {
				golden.check(t, strings.Join([]string{"scalar", s.name, kind}, "-"), digest)
			}
		})
	}
}

// runChunks shares the chunks of one function among the processors.
func runChunks(i int, step uint64) (worst scalarChunk, digest string) {
	chunks := make([]scalarChunk, 256)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for c := next.Add(1) - 1; c < int64(len(chunks)); c = next.Add(1) - 1 {
				chunks[c] = runScalar(i, uint64(c), step)
			}
		})
	}
	wg.Wait()
	h := sha256.New()
	for _, c := range chunks {
		if c.worst > worst.worst {
			worst = c
		}
		h.Write(c.digest[:])
	}
	return worst, fmt.Sprintf("%x", h.Sum(nil))
}

// What the contract selects outside the range of a function.
func TestScalarSelections(t *testing.T) {
	inf, nan, zero := float32(math.Inf(1)), float32(math.NaN()), float32(0)
	for _, c := range []struct {
		name    string
		f       func(float32) float32
		x, want float32
	}{
		{"exp", Exp, inf, inf}, {"exp", Exp, -inf, 0}, {"exp", Exp, nan, nan},
		{"exp", Exp, 0, 1}, {"exp", Exp, -zero, 1},
		{"exp", Exp, 0x1.62e42ep+6, 0x1.ffff08p+127}, {"exp", Exp, 0x1.62e43p+6, inf},
		{"exp", Exp, -0x1.5d58ap+6, 0}, {"exp", Exp, -1e9, 0},
		{"log", Log, 0, -inf}, {"log", Log, -1, nan}, {"log", Log, inf, inf}, {"log", Log, 1, 0},
		{"sigmoid", Sigmoid, inf, 1}, {"sigmoid", Sigmoid, -inf, 0}, {"sigmoid", Sigmoid, -88, 0}, {"sigmoid", Sigmoid, 0, 0.5},
		{"silu", Silu, inf, nan}, {"silu", Silu, -inf, nan}, {"silu", Silu, 0, 0}, {"silu", Silu, 100, 100},
		{"tanh", Tanh, inf, 1}, {"tanh", Tanh, -inf, -1}, {"tanh", Tanh, float32(math.Copysign(0, -1)), float32(math.Copysign(0, -1))},
	} {
		if got := c.f(c.x); differ([]float32{got}, []float32{c.want}) >= 0 {
			t.Errorf("%s(%x) = %x, want %x", c.name, c.x, got, c.want)
		}
	}
}

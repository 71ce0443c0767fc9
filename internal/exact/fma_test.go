package exact

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// FMA32 against arbitrary precision on values that provoke double rounding.
func TestFMA32(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func() float32 {
		switch rng.IntN(4) {
		case 0:
			return math.Float32frombits(rng.Uint32())
		case 1: // few mantissa bits: ties and cancellation are common
			return float32(math.Ldexp(float64(rng.IntN(64)-32), rng.IntN(300)-150))
		case 2:
			return float32(math.Ldexp(float64(rng.IntN(1<<25)-1<<24), rng.IntN(60)-54))
		default:
			return float32(math.Ldexp(float64(rng.IntN(1<<25)-1<<24), rng.IntN(40)-170))
		}
	}
	for range 2_000_000 {
		x, y, z := draw(), draw(), draw()
		if rng.IntN(2) == 0 { // z half an ulp of the product away
			_, ex := math.Frexp(float64(x) * float64(y))
			z = float32(math.Ldexp(float64(rng.IntN(5)-2), ex-rng.IntN(52)))
		}
		got, want := FMA32(x, y, z), bigFMA(x, y, z)
		if math.Float32bits(got) != math.Float32bits(want) && !(got != got && want != want) {
			t.Fatalf("fma(%x, %x, %x) = %x, want %x", x, y, z, got, want)
		}
	}
}

func bigFMA(x, y, z float32) float32 {
	p := float64(x) * float64(y)
	s := p + float64(z)
	if s != s || math.IsInf(s, 0) || s == 0 {
		return float32(s)
	}
	b := new(big.Float).SetPrec(2000).SetFloat64(p)
	b.Add(b, new(big.Float).SetFloat64(float64(z)))
	r, _ := b.Float32()
	return r
}

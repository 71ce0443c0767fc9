package exact

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// The models below restate docs/numerics.md, section 2, with arithmetic of
// arbitrary precision and recursion in place of loops. They share no code with
// the kernels.

// round32 rounds an exact value to float32.
func round32(x *big.Float) float32 { f, _ := x.Float32(); return f }

func exactOf(x float32) *big.Float { return new(big.Float).SetPrec(600).SetFloat64(float64(x)) }

// modelFMA is one fused step. A zero result needs the sign rule of IEEE 754.
func modelFMA(x, y, z float32) float32 {
	p := new(big.Float).SetPrec(600).Mul(exactOf(x), exactOf(y))
	s := new(big.Float).SetPrec(600).Add(p, exactOf(z))
	if s.Sign() == 0 {
		return float32(float64(x)*float64(y) + float64(z))
	}
	return round32(s)
}

// modelColumn folds terms[lo:hi]: the sum of the blocks before plus this block.
func modelColumn(x, y []float32) float32 {
	last := (len(x) - 1) / 128 * 128
	acc := float32(0)
	for i := last; i < len(x); i++ {
		acc = modelFMA(x[i], y[i], acc)
	}
	if last == 0 {
		return acc
	}
	return modelColumn(x[:last], y[:last]) + acc
}

// modelRow sums a row: lanes[l] is the fold of elements l, l+16, ...
func modelRow(x []float32) float32 {
	if len(x) <= 4096 {
		var lane func(l, n int) float32
		lane = func(l, n int) float32 { // the first n elements of lane l
			if n == 0 {
				return 0
			}
			return lane(l, n-1) + x[l+16*(n-1)]
		}
		var join func(l, width int) float32
		join = func(l, width int) float32 {
			if width == 16 {
				return lane(l, (len(x)-l+15)/16)
			}
			return join(l, 2*width) + join(l+width, 2*width)
		}
		return join(0, 1)
	}
	var blocks []float32
	for len(x) > 0 {
		n := min(4096, len(x))
		blocks = append(blocks, modelRow(x[:n]))
		x = x[n:]
	}
	return modelRow(blocks)
}

// rough has values over many binades, so that any other order shows.
func rough(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(math.Ldexp(rng.Float64()*2-1, rng.IntN(24)-12))
	}
	return x
}

func TestColumnFoldOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for _, path := range Paths() {
		e := mustEngine(t, 2, path)
		defer e.Close()
		for _, k := range []int{1, 2, 127, 128, 129, 512, 513, 1700} {
			a, b := rough(rng, k), rough(rng, k)
			c := []float32{3}
			e.Gemm(false, false, 1, 1, k, a, k, b, 1, c, 1, false)
			if want := modelColumn(a, b); c[0] != want {
				t.Errorf("%s: k=%d: %x, want %x", path, k, c[0], want)
			}
			// Accumulating takes C as what precedes the first block.
			c[0] = 3
			want := float32(3)
			for lo := 0; lo < k; lo += 128 {
				hi := min(lo+128, k)
				want += modelColumn(a[lo:hi], b[lo:hi])
			}
			e.Gemm(true, true, 1, 1, k, a, 1, b, k, c, 1, true)
			if c[0] != want {
				t.Errorf("%s: accumulate, k=%d: %x, want %x", path, k, c[0], want)
			}
		}
	}
}

func TestRowFoldOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for _, path := range Paths() {
		e := mustEngine(t, 2, path)
		defer e.Close()
		for _, n := range []int{1, 15, 16, 17, 31, 33, 100, 4095, 4096, 4097, 9000, 70000} {
			x := rough(rng, n)
			if got, want := e.Sum(x), modelRow(x); got != want {
				t.Errorf("%s: n=%d: %x, want %x", path, n, got, want)
			}
		}
		if got := e.Sum(nil); math.Float32bits(got) != 0 {
			t.Errorf("%s: empty sum is %x", path, got)
		}
	}
}

// The maximum of a row ignores NaN and has no sign of zero.
func TestRowMax(t *testing.T) {
	inf, nan, minus := float32(math.Inf(1)), float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, c := range []struct {
		x    []float32
		want float32
	}{
		{[]float32{minus}, 0}, {[]float32{minus, 0}, 0}, {[]float32{-1, minus, -2}, 0}, {[]float32{nan, -3, nan}, -3},
		{[]float32{nan}, -inf}, {[]float32{-inf, -inf}, -inf}, {[]float32{1, inf}, inf}, {[]float32{3, nan, 2}, 3},
	} {
		if got := refMax(c.x); math.Float32bits(got) != math.Float32bits(c.want) {
			t.Errorf("max%v = %v, want %v", c.x, got, c.want)
		}
		for _, path := range Paths()[1:] {
			e := mustEngine(t, 1, path)
			row := append(clone(c.x), make([]float32, lanes)...)[:len(c.x)]
			if got, _ := e.softmaxRow(row, 1, 0); math.Float32bits(got) != math.Float32bits(c.want) {
				t.Errorf("%s: max%v = %v, want %v", path, c.x, got, c.want)
			}
			e.Close()
		}
	}
}

// Rows of the embedding gradient fold only over the rows that name them, in
// blocks by position.
func TestScatterFoldOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 10))
	const rows = 1800
	ids, dy := make([]int32, rows), rough(rng, rows)
	for i := range ids {
		ids[i] = int32(rng.IntN(3) * rng.IntN(2))
		if i >= 128 && i < 256 && ids[i] == 1 {
			ids[i] = 0 // id 1 is absent from the second block
		}
	}
	want := make([]float32, 4)
	for id := range int32(4) {
		first := true
		for lo := 0; lo < rows; lo += 128 {
			acc, any := float32(0), false
			for i := lo; i < min(lo+128, rows); i++ {
				if ids[i] == id {
					acc, any = acc+dy[i], true
				}
			}
			switch {
			case any && first:
				want[id], first = acc, false
			case any:
				want[id] += acc
			}
		}
	}
	for _, path := range Paths() {
		e := mustEngine(t, 2, path)
		defer e.Close()
		got := []float32{9, 9, 9, 9}
		e.ScatterAdd(got, dy, ids, 4, 1)
		if differ(got, want) >= 0 {
			t.Errorf("%s: %x, want %x", path, got, want)
		}
	}
}

// Padding must not change bits: a product of +0 and a negative number is -0, and
// a sum that has reached -0 keeps it. A tile that padded with +0 would lose it.
func TestNegativeZeroSurvives(t *testing.T) {
	tiny := float32(math.Ldexp(1, -100))
	for _, path := range Paths() {
		e := mustEngine(t, 1, path)
		defer e.Close()
		for k := 1; k < 40; k++ {
			a, b := make([]float32, k), make([]float32, k)
			for i := range a {
				a[i], b[i] = -tiny, tiny // each product rounds to -0
			}
			c := []float32{7}
			e.Gemm(false, false, 1, 1, k, a, k, b, 1, c, 1, false)
			if math.Float32bits(c[0]) != 1<<31 {
				t.Fatalf("%s: k=%d: %x, want -0", path, k, c[0])
			}
		}
	}
}

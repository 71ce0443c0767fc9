package delta

import (
	"cmp"
	"math"
	"slices"

	"drystone/internal/exact"
)

// define encodes by steps 1 to 5 of the package comment.
func define(k int, u, before []float32) ([]byte, []float32) {
	a := make([]float32, len(u))
	var order []int
	for i := range u {
		a[i] = exact.FMA32(0.95, before[i], u[i])
		if a[i] != 0 {
			order = append(order, i)
		}
	}
	abs := func(i int) float64 { return math.Abs(float64(a[i])) }
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(abs(j), abs(i)) })
	n := min(k, len(u))
	order = order[:min(n, len(order))]
	slices.Sort(order)
	scale := defineScale(order, abs)
	bits, s := nearestHalf(scale)
	var kept []int
	for _, i := range order {
		if s > 0 && abs(i) >= s/2 {
			kept = append(kept, i)
		}
	}
	for s > 0 && len(kept) > 0 && !slices.ContainsFunc(kept, func(i int) bool { return abs(i) < 1.5*s }) {
		bits, s = nearestHalf(2 * s)
	}
	if len(kept) == 0 {
		bits = 0
	}
	field := make([]bool, 0, 8*4096)
	put := func(v, n int) {
		for b := range n {
			field = append(field, v>>b&1 == 1)
		}
	}
	put(int(bits), 16)
	for _, i := range kept {
		put(i, 12)
	}
	put(0, 12*(n-len(kept)))
	for _, i := range kept {
		value, code := float32(s), 0
		if abs(i) >= 1.5*s {
			value, code = 2*value, 1
		}
		if a[i] < 0 {
			value, code = -value, code+2
		}
		a[i] -= value
		put(code, 2)
	}
	put(0, 2*(n-len(kept)))
	for i := range a {
		if abs(i) < 0x1p-126 {
			a[i] = 0
		}
	}
	return pack(field), a
}

// defineScale is step 3.
func defineScale(order []int, abs func(int) float64) (scale float64) {
	if len(order) == 0 {
		return 0
	}
	for _, i := range order {
		scale += abs(i)
	}
	scale /= float64(len(order))
	for range 4 {
		var L, H float64
		var l, h int
		for _, i := range order {
			if abs(i) >= 1.5*scale {
				H, h = H+abs(i), h+1
			} else if abs(i) >= scale/2 {
				L, l = L+abs(i), l+1
			}
		}
		if l+h > 0 {
			scale = (L + 2*H) / float64(l+4*h)
		}
	}
	return scale
}

func pack(field []bool) []byte {
	out := make([]byte, (len(field)+7)/8)
	for i, set := range field {
		if set {
			out[i/8] |= 1 << (i % 8)
		}
	}
	return out
}

// nearestHalf searches all finite binary16 for the nearest to x, the even one of two.
func nearestHalf(x float64) (uint16, float64) {
	best, gap := uint16(0), math.Inf(1)
	lo, _ := slices.BinarySearchFunc(halves, x, func(h, x float64) int { return cmp.Compare(h, x) })
	for b := max(lo-1, 0); b <= min(lo, len(halves)-1); b++ {
		if d := math.Abs(halves[b] - x); d < gap || d == gap && b%2 == 0 {
			best, gap = uint16(b), d
		}
	}
	return best, halves[best]
}

// halves are the finite binary16 >= 0 by bits, computed from IEEE 754's definition.
var halves = func() (h []float64) {
	for b := range 0x7c00 {
		v := float64(b&1023) * math.Pow(2, -24)
		if e := b >> 10; e > 0 {
			v = (1 + float64(b&1023)/1024) * math.Pow(2, float64(e-15))
		}
		h = append(h, v)
	}
	return h
}()

// reencode writes the one encoding of a valid payload's values, which it reads through AddTo.
func reencode(c Codec, payload []byte, n int) []byte {
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(math.Copysign(0, -1)) // fma(1, v, -0) = v for every v
	}
	if err := c.AddTo(values, 1, payload); err != nil {
		return nil
	}
	if !c.HasFeedback() {
		out, _ := c.Encode(nil, values, nil)
		return out
	}
	var out []byte
	for lo := 0; lo < n; lo += ChunkParams {
		chunk := values[lo:min(lo+ChunkParams, n)]
		least := float32(math.Inf(1))
		for _, v := range chunk {
			if v != 0 {
				least = min(least, float32(math.Abs(float64(v))))
			}
		}
		var index, code []bool
		put := func(f *[]bool, v, n int) {
			for b := range n {
				*f = append(*f, v>>b&1 == 1)
			}
		}
		for i, v := range chunk {
			if v != 0 {
				put(&index, i, 12)
				put(&code, map[float32]int{least: 0, 2 * least: 1, -least: 2, -2 * least: 3}[v], 2)
			}
		}
		entries := min(c.topK, len(chunk))
		field := make([]bool, 16+14*entries)
		if len(index) > 0 {
			bits, _ := nearestHalf(float64(least))
			for b := range 16 {
				field[b] = bits>>b&1 == 1
			}
		}
		copy(field[16:], index)
		copy(field[16+12*entries:], code)
		out = append(out, pack(field)...)
	}
	return out
}

package delta

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"

	"drystone/internal/exact"
	"drystone/protocol"
)

// defined is a chunk that was encoded by the steps of the package comment, without its wire format.
type defined struct {
	scale uint16
	at    []int
	level []int
	after []float32
}

// define encodes a chunk by these steps; mask holds the indices of a masked one.
func define(spec protocol.CodecSpec, u, before []float32, mask []int) defined {
	a := make([]float32, len(u))
	abs := func(i int) float64 { return math.Abs(float64(a[i])) }
	var order []int
	for i := range u {
		a[i] = exact.FMA32(float32(spec.Decay), before[i], u[i])
		if a[i] != 0 || spec.Up == "int8" {
			order = append(order, i)
		}
	}
	switch spec.Up {
	case "sparse", "rice":
		slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(abs(j), abs(i)) })
		order = order[:min(spec.TopK, len(order))]
		slices.Sort(order)
	case "masked":
		order = mask
	}
	var d defined
	var unit float64
	if spec.ValueBits == 2 {
		d, unit = defineFitted(order, abs)
	} else {
		d, unit = definePeak(spec, order, abs)
	}
	for j, i := range d.at {
		if a[i] < 0 {
			d.level[j] = -d.level[j]
		}
		exactly := new(big.Float).SetPrec(1000).SetFloat64(unit)
		exactly.Mul(exactly, big.NewFloat(float64(d.level[j])))
		exactly.Sub(new(big.Float).SetPrec(1000).SetFloat64(float64(a[i])), exactly)
		a[i], _ = exactly.Float32()
	}
	for i := range a {
		if abs(i) < 0x1p-126 {
			a[i] = 0
		}
	}
	d.after = a
	return d
}

// defineFitted is step 3: levels are magnitudes yet.
func defineFitted(order []int, abs func(int) float64) (d defined, s float64) {
	d.scale, s = nearestHalf(defineScale(order, abs))
	for _, i := range order {
		if s > 0 && abs(i) >= s/2 {
			d.at = append(d.at, i)
		}
	}
	for s > 0 && len(d.at) > 0 && !slices.ContainsFunc(d.at, func(i int) bool { return abs(i) < 1.5*s }) {
		d.scale, s = nearestHalf(2 * s)
	}
	if len(d.at) == 0 {
		d.scale = 0
	}
	for _, i := range d.at {
		if abs(i) >= 1.5*s {
			d.level = append(d.level, 2)
		} else {
			d.level = append(d.level, 1)
		}
	}
	return d, s
}

// definePeak is step 4.
func definePeak(spec protocol.CodecSpec, order []int, abs func(int) float64) (d defined, unit float64) {
	top := 0.0
	for _, i := range order {
		top = max(top, abs(i))
	}
	most, parts := 8.0, 8.0
	if spec.ValueBits == 0 {
		most, parts = 127, 128
		top = top * 128 / 127
	}
	at, found := slices.BinarySearch(halves, top)
	if !found {
		at--
	}
	d.scale = uint16(at)
	unit = halves[at] / parts
	for _, i := range order {
		level := 0
		if unit > 0 {
			level = int(math.RoundToEven(min(float64(float32(abs(i)/unit)), most)))
		}
		if level > 0 || spec.ValueBits == 0 {
			d.at, d.level = append(d.at, i), append(d.level, level)
		}
	}
	return d, unit
}

// bytes is the wire format of a chunk of params parameters, bit by bit.
func (d defined) bytes(spec protocol.CodecSpec, params int) []byte {
	var field []bool
	put := func(v, n int) {
		for b := range n {
			field = append(field, v>>b&1 == 1)
		}
	}
	codes := func() {
		for _, l := range d.level {
			code := max(l, -l) - 1
			if l < 0 {
				code += 1 << (spec.ValueBits - 1)
			}
			put(code, spec.ValueBits)
		}
	}
	n := min(spec.TopK, params)
	unused := n - len(d.at)
	put(int(d.scale), 16)
	switch spec.Up {
	case "sparse":
		for _, i := range d.at {
			put(i, 12)
		}
		put(0, 12*unused)
		codes()
		put(0, spec.ValueBits*unused)
	case "rice":
		if len(d.at) == 0 {
			return nil
		}
		if unused > 0 {
			field[15] = true
			width := 0
			for 1<<width <= n-1 {
				width++
			}
			put(len(d.at), width)
		}
		codes()
		r, last := 0, -1
		for 16*n<<(r+1) <= 11*params {
			r++
		}
		for _, i := range d.at {
			for range (i - last - 1) >> r {
				put(0, 1)
			}
			put(1, 1)
			put((i-last-1)&(1<<r-1), r)
			last = i
		}
	default:
		for _, l := range d.level {
			put(l&0xff, 8)
		}
	}
	return pack(field)
}

// defineMask is the rule of the package comment, ascending.
func defineMask(seed uint64, chunk, n, params int) (set []int) {
	key := binary.LittleEndian.AppendUint64(nil, seed)
	key = append(binary.LittleEndian.AppendUint64(key, uint64(chunk)), "delta mask rev 1"...)
	rng := rand.NewChaCha8([32]byte(key))
	for j := params - n; j < params; j++ {
		t := int(uint64(uint32(rng.Uint64())) * uint64(j+1) >> 32)
		if slices.Contains(set, t) {
			t = j
		}
		set = append(set, t)
	}
	slices.Sort(set)
	return set
}

// defineScale is the fit of step 3.
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

// reencode writes the one encoding of a valid payload's values, which it reads through AddTo: of all levels and scales
// that give them, those that the rule of the level at least wants.
func reencode(c Codec, spec protocol.CodecSpec, payload []byte, n int) []byte {
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
	var table, out []byte
	for lo := 0; lo < n; lo += ChunkParams {
		chunk := values[lo:min(lo+ChunkParams, n)]
		var d defined
		all := slices.Repeat([]int{0}, len(chunk))
		for i := range all {
			all[i] = i
		}
		if spec.Up == "masked" {
			all = defineMask(c.seed, c.first+lo/ChunkParams, min(spec.TopK, len(chunk)), len(chunk))
		}
		least, most := math.Inf(1), 0.0
		for _, i := range all {
			if x := math.Abs(float64(chunk[i])); x > 0 {
				least, most = min(least, x), max(most, x)
			}
		}
		unit := least
		switch spec.ValueBits {
		case 0:
			unit = most / 127
		case 4:
			unit = most / 8
		}
		for _, i := range all {
			if chunk[i] != 0 || spec.ValueBits == 0 {
				d.at = append(d.at, i)
				d.level = append(d.level, int(math.Round(float64(chunk[i])/max(unit, 0x1p-200))))
			}
		}
		if most > 0 {
			d.scale, _ = nearestHalf(unit * map[int]float64{2: 1, 4: 8, 0: 128}[spec.ValueBits])
		}
		b := d.bytes(spec, len(chunk))
		switch c.lengthBytes {
		case 1:
			table = append(table, byte(len(b)))
		case 2:
			table = binary.LittleEndian.AppendUint16(table, uint16(len(b)))
		}
		out = append(out, b...)
	}
	return append(table, out...)
}

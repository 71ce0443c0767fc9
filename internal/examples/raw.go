package examples

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
)

// Raw is a dataset on its way into the encoded form: as it was read, nothing standardised yet.
type Raw struct {
	Height, Width, Channels int
	Count                   int
	Pixels                  []byte    // (Count, features), or
	Features                []float32 // (Count, features)
	Classes                 int       // above 0: Labels holds classes below it
	Labels                  []int32   // (Count)
	ValueCount              int       // values per example if there are no classes
	Values                  []float32 // (Count, ValueCount)
}

func (r *Raw) features() int { return r.Height * r.Width * r.Channels }

// shuffleSeed keys the one order in which tables are shuffled.
var shuffleSeed = [32]byte([]byte("drystone/examples/shuffle/1\x00\x00\x00\x00\x00"))

// Shuffle puts the examples into an order that depends on their number alone: tables often come sorted by what is to be
// predicted, and the last examples are held out.
func (r *Raw) Shuffle() {
	n := r.features()
	rand.New(rand.NewChaCha8(shuffleSeed)).Shuffle(r.Count, func(i, j int) {
		swapRows(r.Pixels, n, i, j)
		swapRows(r.Features, n, i, j)
		swapRows(r.Labels, 1, i, j)
		swapRows(r.Values, r.ValueCount, i, j)
	})
}

func swapRows[T any](x []T, width, i, j int) {
	if len(x) == 0 {
		return
	}
	a, b := x[i*width:][:width], x[j*width:][:width]
	for k := range a {
		a[k], b[k] = b[k], a[k]
	}
}

// Encode standardises by the first train examples, the part that is trained on, and returns the encoded form. mean is
// the mean and scale 1 / the standard deviation, in float64, rounded to float32; scale is 1 for what is constant, or deviates by less than 2^-64. The
// pixels of images have one mean and scale, table columns and values one each.
func (r *Raw) Encode(train int) ([]byte, error) {
	if train < 1 || train > r.Count {
		return nil, fmt.Errorf("%w: %d examples to train on of %d", ErrFormat, train, r.Count)
	}
	h := Header{Height: r.Height, Width: r.Width, Channels: r.Channels, Classes: r.Classes, Values: r.ValueCount, Count: r.Count, element: elementFloat}
	n := r.features()
	if n < 1 || r.Count > math.MaxInt/8/n || len(r.Pixels)+len(r.Features) != r.Count*n || len(r.Values) != r.Count*r.ValueCount {
		return nil, fmt.Errorf("%w: %d examples of %d features and %d values: %d and %d elements", ErrFormat, r.Count, n, r.ValueCount,
			len(r.Pixels)+len(r.Features), len(r.Values))
	}
	if r.Pixels != nil {
		h.element = elementByte
		m, s := pixelMoments(r.Pixels[:train*n])
		h.Mean, h.Scale = []float32{m}, []float32{s}
	} else {
		h.Mean, h.Scale = moments(r.Features[:train*n], n)
	}
	h.ValueMean, h.ValueScale = moments(r.Values[:train*r.ValueCount], r.ValueCount)
	if err := h.check(); err != nil {
		return nil, err
	}
	b := appendHeader(make([]byte, 0, h.size()+h.Count*h.record()), &h)
	for i := range r.Count {
		if r.Pixels != nil {
			b = append(b, r.Pixels[i*n:][:n]...)
		} else {
			b = appendFloats(b, r.Features[i*n:][:n])
		}
		if r.Classes > 0 {
			b = binary.LittleEndian.AppendUint32(b, uint32(r.Labels[i]))
		}
		b = appendFloats(b, r.Values[i*r.ValueCount:][:r.ValueCount])
	}
	_, err := Open(b)
	return b, err
}

// pixelMoments counts, so its sums are exact.
func pixelMoments(p []byte) (mean, scale float32) {
	var sum, squares uint64
	for _, v := range p {
		sum += uint64(v)
		squares += uint64(v) * uint64(v)
	}
	n := float64(len(p))
	m := float64(sum) / n
	return inverse(m, float64(squares)/n-float64(m*m))
}

// moments returns the constants of each of the width columns of x. Explicit conversions keep compilers from fusing
// operations, so every machine gets the same.
func moments(x []float32, width int) (mean, scale []float32) {
	mean, scale = make([]float32, width), make([]float32, width)
	for j := range width {
		var sum, squares float64
		rows := float64(len(x) / width)
		for i := j; i < len(x); i += width {
			sum += float64(x[i])
		}
		m := sum / rows
		for i := j; i < len(x); i += width {
			d := float64(x[i]) - m
			squares += float64(d * d)
		}
		mean[j], scale[j] = inverse(m, squares/rows)
	}
	return mean, scale
}

// maxScale keeps values of up to 2^63 finite that come with a column which hardly varies among those to train on.
const maxScale = 1 << 64

func inverse(mean, variance float64) (float32, float32) {
	if s := float32(1 / math.Sqrt(variance)); s > 0 && s <= maxScale {
		return float32(mean), s
	}
	return float32(mean), 1
}

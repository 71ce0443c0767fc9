package examples

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrFormat is wrapped by errors about data that is not what it claims to be. Their text names the place.
var ErrFormat = errors.New("bad examples")

const (
	magic      = "drystone"
	version    = 1
	headerSize = 48

	elementByte  = 1 // also the bytes of an element
	elementFloat = 4

	maxSide     = 1 << 16 // height, width, channels, and their product
	maxOutputs  = 1 << 16
	maxExamples = 1 << 40
)

// Header says what the examples of a Set are.
type Header struct {
	Height, Width, Channels int
	Classes                 int // above 0: targets are classes below it
	Values                  int // above 0: targets are that many values
	Count                   int

	Mean, Scale           []float32 // of the features: one for all, or one for each
	ValueMean, ValueScale []float32 // of the values

	element int
}

// Features returns the values of one example.
func (h *Header) Features() int { return h.Height * h.Width * h.Channels }

// Shape returns the shape of an example in words.
func (h *Header) Shape() string {
	if h.Height == 1 && h.Width == 1 {
		return fmt.Sprintf("%d features", h.Channels)
	}
	return fmt.Sprintf("images of %d x %d x %d", h.Height, h.Width, h.Channels)
}

func (h *Header) targetBytes() int {
	if h.Classes > 0 {
		return 4
	}
	return 4 * h.Values
}

// record returns the bytes of an example.
func (h *Header) record() int { return h.Features()*h.element + h.targetBytes() }

// size returns the bytes of the header with its constants.
func (h *Header) size() int { return headerSize + 8*len(h.Mean) + 8*len(h.ValueMean) }

// check reports what is wrong with a header, by field.
func (h *Header) check() error {
	for _, f := range []struct {
		name        string
		value, most int
	}{{"height", h.Height, maxSide}, {"width", h.Width, maxSide}, {"channels", h.Channels, maxSide}, {"count", h.Count, maxExamples}} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%w: header: %s = %d, want 1 to %d", ErrFormat, f.name, f.value, f.most)
		}
	}
	switch n := h.Features(); {
	case n > maxSide:
		return fmt.Errorf("%w: header: %d features, want at most %d", ErrFormat, n, maxSide)
	case h.element != elementByte && h.element != elementFloat:
		return fmt.Errorf("%w: header: element type %d, want %d or %d", ErrFormat, h.element, elementByte, elementFloat)
	case h.Classes < 0 || h.Values < 0 || (h.Classes > 0) == (h.Values > 0) || h.Classes == 1 || max(h.Classes, h.Values) > maxOutputs:
		return fmt.Errorf("%w: header: %d classes and %d values, want 2 to %d of the one or 1 to %d of the other", ErrFormat, h.Classes, h.Values, maxOutputs, maxOutputs)
	case len(h.Mean) != 1 && len(h.Mean) != n:
		return fmt.Errorf("%w: header: %d constants for %d features", ErrFormat, len(h.Mean), n)
	case len(h.Scale) != len(h.Mean) || len(h.ValueMean) != h.Values || len(h.ValueScale) != h.Values:
		return fmt.Errorf("%w: header: as many scales as means are wanted, and one of each per value", ErrFormat)
	}
	for _, l := range []struct {
		name   string
		values []float32
	}{{"mean", h.Mean}, {"scale", h.Scale}, {"value mean", h.ValueMean}, {"value scale", h.ValueScale}} {
		for i, v := range l.values {
			if !finite(v) || (l.name == "scale" || l.name == "value scale") && !(v > 0) {
				return fmt.Errorf("%w: header: %s %d is %v", ErrFormat, l.name, i, v)
			}
		}
	}
	return nil
}

// appendHeader encodes h.
func appendHeader(b []byte, h *Header) []byte {
	b = append(b, magic...)
	for _, v := range []int{version, h.element, h.Height, h.Width, h.Channels, h.Classes, h.Values, len(h.Mean)} {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(h.Count))
	for _, list := range [][]float32{h.Mean, h.Scale, h.ValueMean, h.ValueScale} {
		b = appendFloats(b, list)
	}
	return b
}

// ReadHeader decodes the header at the beginning of data, which may end after it.
func ReadHeader(data []byte) (Header, error) {
	var h Header
	if len(data) < headerSize {
		return h, fmt.Errorf("%w: %d bytes, the header alone has %d", ErrFormat, len(data), headerSize)
	}
	if string(data[:8]) != magic {
		return h, fmt.Errorf("%w: begins with %q, want %q", ErrFormat, data[:8], magic)
	}
	var f [8]int
	for i := range f {
		f[i] = int(binary.LittleEndian.Uint32(data[8+4*i:]))
	}
	if f[0] != version {
		return h, fmt.Errorf("%w: version %d, this program reads %d", ErrFormat, f[0], version)
	}
	h.element, h.Height, h.Width, h.Channels, h.Classes, h.Values = f[1], f[2], f[3], f[4], f[5], f[6]
	count := binary.LittleEndian.Uint64(data[40:])
	if count > maxExamples || f[7] > maxSide || h.Values > maxOutputs {
		return h, fmt.Errorf("%w: header: %d examples with %d constants and %d values", ErrFormat, count, f[7], h.Values)
	}
	h.Count = int(count)
	rest := data[headerSize:]
	if need := 8*f[7] + 8*h.Values; len(rest) < need {
		return h, fmt.Errorf("%w: %d bytes, the header with its constants has %d", ErrFormat, len(data), headerSize+need)
	}
	for _, list := range []struct {
		dst *[]float32
		n   int
	}{{&h.Mean, f[7]}, {&h.Scale, f[7]}, {&h.ValueMean, h.Values}, {&h.ValueScale, h.Values}} {
		*list.dst = make([]float32, list.n)
		for i := range *list.dst {
			(*list.dst)[i] = float(rest)
			rest = rest[4:]
		}
	}
	return h, h.check()
}

func float(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) }

func appendFloats(b []byte, x []float32) []byte {
	for _, v := range x {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

func finite(v float32) bool { return v-v == 0 }

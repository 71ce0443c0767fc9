package exact

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func drawWindows(t *rapid.T) ConvShape {
	at := func(name string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(t, name) }
	s := ConvShape{
		Batch: at("batch", 1, 3), Height: at("height", 1, 12), Width: at("width", 1, 12),
		Channels: rapid.SampledFrom([]int{1, 2, 3, 8, 16, 17, 33, 48}).Draw(t, "channels"),
		KernelH:  at("kernelH", 1, 5), KernelW: at("kernelW", 1, 5), Stride: at("stride", 1, 4), Pad: at("pad", 0, 3),
	}
	s.Pad = min(s.Pad, s.KernelH-1, s.KernelW-1)
	s.KernelH, s.KernelW = min(s.KernelH, s.Height+2*s.Pad), min(s.KernelW, s.Width+2*s.Pad)
	if s.Pad >= min(s.KernelH, s.KernelW) {
		s.Pad, s.KernelH, s.KernelW = 0, min(s.KernelH, s.Height), min(s.KernelW, s.Width)
	}
	return s
}

// eachTap visits every window position in the order of docs/numerics.md: windows
// (b,oh,ow) ascending, in each (kh,kw). pixel is the position in all images, -1
// for padding.
func eachTap(s ConvShape, visit func(window, tap, pixel int)) {
	for window := range s.Rows() {
		ow, oh, b := window%s.OutW(), window/s.OutW()%s.OutH(), window/s.OutW()/s.OutH()
		for tap := range s.KernelH * s.KernelW {
			ih, iw := oh*s.Stride-s.Pad+tap/s.KernelW, ow*s.Stride-s.Pad+tap%s.KernelW
			pixel := -1
			if ih >= 0 && ih < s.Height && iw >= 0 && iw < s.Width {
				pixel = (b*s.Height+ih)*s.Width + iw
			}
			visit(window, tap, pixel)
		}
	}
}

// Convolution and pooling equal their definitions, element by element in the
// stated order, on every path.
func TestWindowPaths(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawWindows(t)
		if err := s.Validate(); err != nil {
			t.Fatal(err)
		}
		v, C := drawValues(t), s.Channels
		x, dcol, dy := v.slice(s.inputs()), v.slice(s.Rows()*s.Cols()), v.slice(s.pooled())
		col, dx := make([]float32, len(dcol)), make([]float32, len(x))
		top, index, dtop := make([]float32, len(dy)), make([]float32, len(dy)), make([]float32, len(x))
		avg, davg := make([]float32, len(dy)), make([]float32, len(x))
		size := float32(s.KernelH * s.KernelW)
		for i := range index {
			index[i] = -1
		}
		eachTap(s, func(window, tap, pixel int) {
			if pixel < 0 {
				return
			}
			for c := range C {
				val, out, in := x[pixel*C+c], window*C+c, pixel*C+c
				col[window*s.Cols()+tap*C+c] = val
				dx[in] += dcol[window*s.Cols()+tap*C+c]
				avg[out] += val
				davg[in] += dy[out] / size
				isNaN := val != val
				if best := top[out]; index[out] < 0 || val > best || isNaN && best == best {
					top[out], index[out] = val, float32(pixel%(s.Height*s.Width))
				}
			}
		})
		for i := range avg {
			avg[i] /= size
			image := i / C / (s.OutH() * s.OutW())
			dtop[(image*s.Height*s.Width+int(index[i]))*C+i%C] += dy[i]
		}
		want := [][]float32{col, dx, top, index, dtop, avg, davg}
		ref, engines := drawEngines(t)
		for _, e := range append(engines, ref) {
			got := make([][]float32, len(want))
			for i := range got {
				got[i] = v.slice(len(want[i])) // outputs are overwritten
			}
			chosen := make([]int32, len(index))
			e.Im2Col(got[0], x, s)
			e.Col2Im(got[1], dcol, s)
			e.MaxPool(got[2], chosen, x, s)
			for i, at := range chosen {
				got[3][i] = float32(at)
			}
			e.MaxPoolBackward(got[4], dy, chosen, s)
			e.AvgPool(got[5], x, s)
			e.AvgPoolBackward(got[6], dy, s)
			for i, name := range []string{"Im2Col", "Col2Im", "MaxPool", "index", "MaxPoolBackward", "AvgPool", "AvgPoolBackward"} {
				if at := differ(got[i], want[i]); at >= 0 {
					t.Fatalf("%s, %d threads: %s: element %d is %x, want %x", e.Path(), e.Threads(), name, at, got[i][at], want[i][at])
				}
			}
		}
	})
}

// The selection rules of MaxPool: first of equals, zeros equal, first NaN wins.
func TestMaxPoolSelection(t *testing.T) {
	nan, minus := float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, path := range Paths() {
		e := mustEngine(t, 1, path)
		defer e.Close()
		for _, c := range []struct {
			x    []float32
			want float32
			at   int32
		}{
			{[]float32{1, 3, 3, 2}, 3, 1}, {[]float32{minus, 0, minus, 0}, minus, 0}, {[]float32{1, nan, 5, nan}, nan, 1},
			{[]float32{nan, 1, 2, 3}, nan, 0}, {[]float32{-4, -2, -3, -9}, -2, 1},
		} {
			const channels = 19 // one vector and a tail
			x, y, index := make([]float32, 4*channels), make([]float32, channels), make([]int32, channels)
			for i := range x {
				x[i] = c.x[i/channels]
			}
			e.MaxPool(y, index, x, ConvShape{1, 2, 2, channels, 2, 2, 1, 0})
			for i := range y {
				if differ(y[i:i+1], []float32{c.want}) >= 0 || index[i] != c.at {
					t.Fatalf("%s: max%v = %v at %d, want %v at %d", path, c.x, y[i], index[i], c.want, c.at)
				}
			}
		}
	}
}

// A shape that does not fit is an error that names what is wrong.
func TestConvShapeValidate(t *testing.T) {
	good := ConvShape{2, 28, 28, 1, 5, 5, 1, 2}
	if err := good.Validate(); err != nil || good.OutH() != 28 || good.Rows() != 2*28*28 || good.Cols() != 25 {
		t.Errorf("%v: %v", good, err)
	}
	const big = math.MaxInt32 / 4
	for _, c := range []struct {
		shape ConvShape
		names string
	}{
		{ConvShape{0, 28, 28, 1, 5, 5, 1, 2}, "Batch"}, {ConvShape{2, 0, 28, 1, 5, 5, 1, 2}, "Height"},
		{ConvShape{2, 28, -1, 1, 5, 5, 1, 2}, "Width"}, {ConvShape{2, 28, 28, 0, 5, 5, 1, 2}, "Channels"},
		{ConvShape{2, 28, 28, 1, 0, 5, 1, 0}, "KernelH"}, {ConvShape{2, 28, 28, 1, 5, 0, 1, 0}, "KernelW"},
		{ConvShape{2, 28, 28, 1, 5, 5, 0, 2}, "Stride"}, {ConvShape{2, 28, 28, 1, 5, 5, 1, -1}, "Pad"},
		{ConvShape{2, 28, 28, 1, 5, 3, 1, 3}, "Pad 3"}, {ConvShape{2, 4, 28, 1, 7, 7, 1, 1}, "padded image"},
		{ConvShape{2, big, big, 1, 5, 5, 1, 2}, "positions"}, {ConvShape{big, 30000, 30000, big, 5, 5, 1, 2}, "elements"},
		{ConvShape{2, math.MaxInt, 28, 1, 5, 5, 1, 2}, "Height"},
	} {
		if err := c.shape.Validate(); err == nil || !strings.Contains(err.Error(), c.names) {
			t.Errorf("%v: %v, want %q", c.shape, err, c.names)
		}
	}
}

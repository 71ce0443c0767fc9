package exact

import (
	"fmt"
	"math"
)

// ConvShape says how windows slide over a batch of images: for convolution
// (Im2Col, Col2Im) and for pooling. Images are (Batch,Height,Width,Channels),
// row-major. Window (oh,ow) covers the KernelH x KernelW positions
// (oh*Stride-Pad+kh, ow*Stride-Pad+kw); those outside the image are padding.
// Every window covers at least one position inside, since Pad is less than the
// kernel in both directions.
type ConvShape struct {
	Batch, Height, Width, Channels int // at least 1
	KernelH, KernelW               int // at least 1, at most the padded image
	Stride                         int // at least 1
	Pad                            int // on all four sides; at least 0
}

// maxWindowElems bounds the elements of an operand, above what fits in memory.
const maxWindowElems = math.MaxInt / 8

// Validate returns an error that names the field or the product out of range.
func (s ConvShape) Validate() error {
	for _, f := range []struct {
		name     string
		v, least int
	}{
		{"Batch", s.Batch, 1}, {"Height", s.Height, 1}, {"Width", s.Width, 1}, {"Channels", s.Channels, 1},
		{"KernelH", s.KernelH, 1}, {"KernelW", s.KernelW, 1}, {"Stride", s.Stride, 1}, {"Pad", s.Pad, 0},
	} {
		if f.v < f.least || f.v > math.MaxInt32/4 {
			return fmt.Errorf("exact: window shape: %s is %d, want %d to %d", f.name, f.v, f.least, math.MaxInt32/4)
		}
	}
	switch {
	case s.Pad >= min(s.KernelH, s.KernelW):
		return fmt.Errorf("exact: window shape: Pad %d is not less than the kernel %dx%d", s.Pad, s.KernelH, s.KernelW)
	case s.KernelH > s.Height+2*s.Pad || s.KernelW > s.Width+2*s.Pad:
		return fmt.Errorf("exact: window shape: kernel %dx%d is larger than the padded image %dx%d",
			s.KernelH, s.KernelW, s.Height+2*s.Pad, s.Width+2*s.Pad)
	case !within(math.MaxInt32, s.Height, s.Width):
		return fmt.Errorf("exact: window shape: an image has more than %d positions", math.MaxInt32)
	case !within(maxWindowElems, s.Batch, s.Height, s.Width, s.Channels) ||
		!within(maxWindowElems, s.Batch, s.OutH(), s.OutW(), s.KernelH, s.KernelW, s.Channels):
		return fmt.Errorf("exact: window shape: more than %d elements", maxWindowElems)
	}
	return nil
}

// within reports whether the product of positive factors is at most limit.
func within(limit int, factors ...int) bool {
	for _, f := range factors {
		if limit /= f; limit == 0 {
			return false
		}
	}
	return true
}

// OutH returns the number of windows along the height.
func (s ConvShape) OutH() int { return (s.Height+2*s.Pad-s.KernelH)/s.Stride + 1 }

// OutW returns the number of windows along the width.
func (s ConvShape) OutW() int { return (s.Width+2*s.Pad-s.KernelW)/s.Stride + 1 }

// Rows returns the number of windows, Batch*OutH*OutW.
func (s ConvShape) Rows() int { return s.Batch * s.OutH() * s.OutW() }

// Cols returns the number of elements in a window, KernelH*KernelW*Channels.
func (s ConvShape) Cols() int { return s.KernelH * s.KernelW * s.Channels }

// inputs and pooled are the sizes of the images and of one result per window
// and channel.
func (s ConvShape) inputs() int { return s.Batch * s.Height * s.Width * s.Channels }
func (s ConvShape) pooled() int { return s.Rows() * s.Channels }

// mustShape panics with a ShapeError unless the shape is valid.
func mustShape(kernel string, s ConvShape) {
	if err := s.Validate(); err != nil {
		panic(&ShapeError{kernel, err.Error()})
	}
}

// winArgs are the operands of a kernel that slides windows.
type winArgs struct {
	ConvShape
	y, x       []float32 // one element per window position or window; images
	index      []int32
	outH, outW int
}

func windows(s ConvShape, y, x []float32, index []int32) winArgs {
	return winArgs{ConvShape: s, y: y, x: x, index: index, outH: s.OutH(), outW: s.OutW()}
}

// clip returns the part [lo,hi) of a kernel of k positions that lies inside an
// image of n, and the image position of kernel position 0, for window o.
func (s *ConvShape) clip(o, k, n int) (first, lo, hi int) {
	first = o*s.Stride - s.Pad
	return first, max(0, -first), min(k, n-first)
}

// covering returns the windows [lo,hi), of out in all, that cover position i,
// for a kernel of k positions.
func (s *ConvShape) covering(i, k, out int) (lo, hi int) {
	// o*Stride-Pad <= i < o*Stride-Pad+k
	lo = max(0, pieces(i+s.Pad-k+1, s.Stride))
	return lo, min(out, (i+s.Pad)/s.Stride+1)
}

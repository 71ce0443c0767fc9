package f64

// ConvShape says how windows slide over images; see exact.ConvShape, which
// converts to it.
type ConvShape struct {
	Batch, Height, Width, Channels int
	KernelH, KernelW               int
	Stride                         int
	Pad                            int
}

func (s ConvShape) out() (h, w int) {
	return (s.Height+2*s.Pad-s.KernelH)/s.Stride + 1, (s.Width+2*s.Pad-s.KernelW)/s.Stride + 1
}

// sizes returns the numbers of windows and of elements of all images.
func (s ConvShape) sizes() (windows, inputs int) {
	h, w := s.out()
	return s.Batch * h * w, s.Batch * s.Height * s.Width * s.Channels
}

// each visits the elements that windows cover: window and position in it, image,
// position in the image, and channel.
func (s ConvShape) each(f func(window, tap, image, pixel, c int)) {
	outH, outW := s.out()
	windows, _ := s.sizes()
	for window := range windows {
		oh, ow, b := window/outW%outH, window%outW, window/outW/outH
		for tap := range s.KernelH * s.KernelW {
			ih, iw := oh*s.Stride-s.Pad+tap/s.KernelW, ow*s.Stride-s.Pad+tap%s.KernelW
			if ih < 0 || ih >= s.Height || iw < 0 || iw >= s.Width {
				continue
			}
			for c := range s.Channels {
				f(window, tap, b, ih*s.Width+iw, c)
			}
		}
	}
}

// at returns the place of a channel of a pixel of an image.
func (s ConvShape) at(image, pixel, c int) int { return (image*s.Height*s.Width+pixel)*s.Channels + c }

// Im2Col returns the windows of x as rows, padding 0.
func Im2Col(x []float64, s ConvShape) []float64 {
	windows, _ := s.sizes()
	cols := s.KernelH * s.KernelW * s.Channels
	col := make([]float64, windows*cols)
	s.each(func(window, tap, b, pixel, c int) { col[window*cols+tap*s.Channels+c] = x[s.at(b, pixel, c)] })
	return col
}

// Col2Im returns the gradient of Im2Col.
func Col2Im(dcol []float64, s ConvShape) []float64 {
	_, inputs := s.sizes()
	cols := s.KernelH * s.KernelW * s.Channels
	dx := make([]float64, inputs)
	s.each(func(window, tap, b, pixel, c int) { dx[s.at(b, pixel, c)] += dcol[window*cols+tap*s.Channels+c] })
	return dx
}

// Conv returns the convolution (windows,out) of x with weights
// (out,KernelH,KernelW,Channels).
func Conv(x, weights []float64, out int, s ConvShape) []float64 {
	windows, _ := s.sizes()
	return Gemm(false, true, windows, out, s.KernelH*s.KernelW*s.Channels, Im2Col(x, s), weights)
}

// ConvBackward returns the gradients of Conv.
func ConvBackward(dy, x, weights []float64, out int, s ConvShape) (dx, dweights []float64) {
	windows, _ := s.sizes()
	cols := s.KernelH * s.KernelW * s.Channels
	dx = Col2Im(Gemm(false, false, windows, cols, out, dy, weights), s)
	return dx, Gemm(true, false, out, cols, windows, dy, Im2Col(x, s))
}

// MaxPool returns the maximum of each window and channel and its pixel, the first
// of equals.
func MaxPool(x []float64, s ConvShape) (y []float64, index []int) {
	windows, _ := s.sizes()
	y, index = make([]float64, windows*s.Channels), make([]int, windows*s.Channels)
	seen := make([]bool, len(y))
	s.each(func(window, _, b, pixel, c int) {
		i, v := window*s.Channels+c, x[s.at(b, pixel, c)]
		if !seen[i] || v > y[i] {
			y[i], index[i], seen[i] = v, pixel, true
		}
	})
	return y, index
}

// MaxPoolBackward returns the gradient of MaxPool.
func MaxPoolBackward(dy, x []float64, s ConvShape) []float64 {
	_, inputs := s.sizes()
	_, index := MaxPool(x, s)
	dx := make([]float64, inputs)
	s.each(func(window, _, b, pixel, c int) {
		if i := window*s.Channels + c; index[i] == pixel {
			dx[s.at(b, pixel, c)] += dy[i]
		}
	})
	return dx
}

// AvgPool returns the sum of each window and channel over KernelH*KernelW.
func AvgPool(x []float64, s ConvShape) []float64 {
	windows, _ := s.sizes()
	y := make([]float64, windows*s.Channels)
	s.each(func(window, _, b, pixel, c int) {
		y[window*s.Channels+c] += x[s.at(b, pixel, c)] / float64(s.KernelH*s.KernelW)
	})
	return y
}

// AvgPoolBackward returns the gradient of AvgPool.
func AvgPoolBackward(dy []float64, s ConvShape) []float64 {
	_, inputs := s.sizes()
	dx := make([]float64, inputs)
	s.each(func(window, _, b, pixel, c int) {
		dx[s.at(b, pixel, c)] += dy[window*s.Channels+c] / float64(s.KernelH*s.KernelW)
	})
	return dx
}

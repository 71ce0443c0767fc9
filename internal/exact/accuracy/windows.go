package accuracy

import (
	"drystone/internal/exact"
	"drystone/internal/exact/f64"
)

func attrs(s exact.ConvShape) map[string]float64 {
	return map[string]float64{
		"kernel_h": float64(s.KernelH), "kernel_w": float64(s.KernelW), "stride": float64(s.Stride), "pad": float64(s.Pad),
	}
}

// conv is the convolution of images (batch,height,width,channels) with weights
// (out,kernel_h,kernel_w,channels).
func conv() Case {
	const out = 32
	c := exact.ConvShape{Batch: 4, Height: 14, Width: 14, Channels: 16, KernelH: 3, KernelW: 3, Stride: 1, Pad: 1}
	s, rows, cols := newSource(21), c.Rows(), c.Cols()
	x, w := s.normal("x", 1, c.Batch, c.Height, c.Width, c.Channels), s.normal("weights", 1, out, c.KernelH, c.KernelW, c.Channels)
	dy := s.normal("dy", 1, c.Batch, c.OutH(), c.OutW(), out)
	return Case{
		Kernel: "Conv", Attrs: attrs(c), Inputs: []Tensor{x, w, dy}, Outputs: []string{"y", "dx", "dweights"},
		Run: func(e *exact.Engine) [][]float32 {
			col, dcol, y, dx, dw := zeros(rows, cols), zeros(rows, cols), zeros(rows, out), zeros(x.Shape...), zeros(w.Shape...)
			e.Im2Col(col, x.Data, c)
			e.Gemm(false, true, rows, out, cols, col, cols, w.Data, cols, y, out, false)
			e.Gemm(false, false, rows, cols, out, dy.Data, out, w.Data, cols, dcol, cols, false)
			e.Col2Im(dx, dcol, c)
			e.Gemm(true, false, out, cols, rows, dy.Data, out, col, cols, dw, cols, false)
			return [][]float32{y, dx, dw}
		},
		Want: func() [][]float64 {
			dx, dw := f64.ConvBackward(dy.wide(), x.wide(), w.wide(), out, f64.ConvShape(c))
			return [][]float64{f64.Conv(x.wide(), w.wide(), out, f64.ConvShape(c)), dx, dw}
		},
	}
}

// pooled draws images and the gradient of their pooling.
func pooled(seed uint64, c exact.ConvShape) (x, dy Tensor) {
	s := newSource(seed)
	return s.normal("x", 1, c.Batch, c.Height, c.Width, c.Channels), s.normal("dy", 1, c.Batch, c.OutH(), c.OutW(), c.Channels)
}

func maxPool() Case {
	c := exact.ConvShape{Batch: 4, Height: 28, Width: 28, Channels: 16, KernelH: 3, KernelW: 3, Stride: 2, Pad: 1}
	x, dy := pooled(22, c)
	return Case{
		Kernel: "MaxPool", Attrs: attrs(c), Inputs: []Tensor{x, dy}, Outputs: []string{"y", "dx"},
		Run: func(e *exact.Engine) [][]float32 {
			y, dx, index := zeros(dy.Shape...), zeros(x.Shape...), make([]int32, len(dy.Data))
			e.MaxPool(y, index, x.Data, c)
			e.MaxPoolBackward(dx, dy.Data, index, c)
			return [][]float32{y, dx}
		},
		Want: func() [][]float64 {
			y, _ := f64.MaxPool(x.wide(), f64.ConvShape(c))
			return [][]float64{y, f64.MaxPoolBackward(dy.wide(), x.wide(), f64.ConvShape(c))}
		},
	}
}

func avgPool() Case {
	c := exact.ConvShape{Batch: 4, Height: 28, Width: 28, Channels: 16, KernelH: 3, KernelW: 3, Stride: 2, Pad: 1}
	x, dy := pooled(23, c)
	return Case{
		Kernel: "AvgPool", Attrs: attrs(c), Inputs: []Tensor{x, dy}, Outputs: []string{"y", "dx"},
		Run: func(e *exact.Engine) [][]float32 {
			y, dx := zeros(dy.Shape...), zeros(x.Shape...)
			e.AvgPool(y, x.Data, c)
			e.AvgPoolBackward(dx, dy.Data, c)
			return [][]float32{y, dx}
		},
		Want: func() [][]float64 {
			return [][]float64{f64.AvgPool(x.wide(), f64.ConvShape(c)), f64.AvgPoolBackward(dy.wide(), f64.ConvShape(c))}
		},
	}
}

package cuda

import "drystone/internal/exact"

// windows launches a kernel over n elements of images or windows.
func (c *Card) windows(kernel string, n int, s exact.ConvShape, args ...any) {
	c.each(kernel, n, append(args, n, s.Height, s.Width, s.Channels, s.KernelH, s.KernelW, s.Stride, s.Pad, s.OutH(), s.OutW())...)
}

// sizes checks a shape and returns the elements of the images, of the windows, and of one result per window and channel.
func sizes(kernel string, s exact.ConvShape) (images, windows, pooled int) {
	if err := s.Validate(); err != nil {
		panic(&exact.ShapeError{Kernel: kernel, Problem: err.Error()})
	}
	return s.Batch * s.Height * s.Width * s.Channels, s.Rows() * s.Cols(), s.Rows() * s.Channels
}

// Im2Col implements exact.Kernels.
func (c *Card) Im2Col(col, x []float32, shape exact.ConvShape) {
	images, windows, _ := sizes("Im2Col", shape)
	need("Im2Col", "col", len(col), windows)
	need("Im2Col", "x", len(x), images)
	c.windows("im2col", windows, shape, col, x)
}

// Col2Im implements exact.Kernels.
func (c *Card) Col2Im(dx, dcol []float32, shape exact.ConvShape) {
	images, windows, _ := sizes("Col2Im", shape)
	need("Col2Im", "dx", len(dx), images)
	need("Col2Im", "dcol", len(dcol), windows)
	c.windows("col2im", images, shape, dx, dcol)
}

// MaxPool implements exact.Kernels.
func (c *Card) MaxPool(y []float32, index []int32, x []float32, shape exact.ConvShape) {
	images, _, pooled := sizes("MaxPool", shape)
	need("MaxPool", "y", len(y), pooled)
	need("MaxPool", "index", len(index), pooled)
	need("MaxPool", "x", len(x), images)
	c.windows("maxpool", pooled, shape, y, index, x)
}

// MaxPoolBackward implements exact.Kernels. It looks for a window's element only where the window is.
func (c *Card) MaxPoolBackward(dx, dy []float32, index []int32, shape exact.ConvShape) {
	const kernel = "MaxPoolBackward"
	images, _, pooled := sizes(kernel, shape)
	need(kernel, "dx", len(dx), images)
	need(kernel, "dy", len(dy), pooled)
	need(kernel, "index", len(index), pooled)
	c.windows("maxpool_back", images, shape, dx, dy, index)
}

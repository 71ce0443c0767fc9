package models

import (
	"drystone/internal/exact"

	G "gorgonia.org/gorgonia"
)

// images is the shape of a batch of images as a matrix: a row per image, (Height, Width, Channels) row-major.
func images(s exact.ConvShape) arg { return matrix(s.Batch, s.Height*s.Width*s.Channels) }

// im2col returns the windows of a convolution as the rows of a matrix (Rows, Cols), so that the convolution is a product.
// Its gradient adds the windows up.
func (e env) im2col(name string, s exact.ConvShape) *op {
	col := matrix(s.Rows(), s.Cols())
	o := e.op("im2col", name, s)
	o.args, o.out = []arg{images(s)}, col
	o.run = func(y []float32, v []G.Value) { e.Im2Col(y, f32(v[0]), s) }
	o.wrt = []bool{true}
	o.diff = func(_ G.Nodes, _, dcol *G.Node) (G.Nodes, error) {
		b := e.op("im2col.dx", name, s)
		b.args, b.out = []arg{col}, images(s)
		b.run = func(dx []float32, v []G.Value) { e.Col2Im(dx, f32(v[0]), s) }
		dx, err := apply(b, dcol)
		return G.Nodes{dx}, err
	}
	return o
}

// maxPool returns the largest element of each window and channel: from x (Batch*Height*Width, Channels), as a convolution
// leaves it, images (Batch, OutH*OutW*Channels). The forward op keeps which elements these were for its derivative.
func (e env) maxPool(name string, s exact.ConvShape) *op {
	x, y := matrix(s.Batch*s.Height*s.Width, s.Channels), matrix(s.Batch, s.OutH()*s.OutW()*s.Channels)
	index := e.Ints(y.shape.TotalSize())
	if e.run != nil {
		e.run.kept += len(index)
	}
	o := e.op("maxpool", name, s)
	o.args, o.out = []arg{x}, y
	o.run = func(out []float32, v []G.Value) { e.MaxPool(out, index, f32(v[0]), s) }
	o.wrt = []bool{true}
	o.diff = func(_ G.Nodes, _, dy *G.Node) (G.Nodes, error) {
		b := e.op("maxpool.dx", name, s)
		b.args, b.out = []arg{y}, x
		b.run = func(dx []float32, v []G.Value) { e.MaxPoolBackward(dx, f32(v[0]), index, s) }
		dx, err := apply(b, dy)
		return G.Nodes{dx}, err
	}
	return o
}

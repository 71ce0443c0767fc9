package models

import (
	"fmt"

	"drystone/internal/exact"
	"drystone/protocol"
)

// convnet is a small convolutional classifier. Images are (Height, Width, Channels), row-major:
//
//	[features] -> conv 3x3, padding 1 -> relu -> maxpool 2x2 -> ... -> affine -> logits (B, Outputs) -> crossentropy
//	              \----------------- Layers times ------------/
//
// A convolution is the affine product of the matrix of windows (im2col) with the weights. Pooling drops an odd last row
// and column. The parameters:
//
//	convs.{i}.weight, convs.{i}.bias    (Dim, 3, 3, Channels or Dim): output, row, column, input; (Dim)
//	head.weight, head.bias              (Outputs, h*w*Dim): of the last images, row-major; (Outputs)
type convnet struct{ onExamples }

const kernelSide = 3

// blocks returns the shape of each convolution and of the pooling after it, and the features that the head reads.
func (convnet) blocks(s protocol.ModelSpec, batch int) (convs, pools []exact.ConvShape, features int) {
	h, w, c := s.Height, s.Width, s.Channels
	for range s.Layers {
		convs = append(convs, exact.ConvShape{Batch: batch, Height: h, Width: w, Channels: c, KernelH: kernelSide, KernelW: kernelSide, Stride: 1, Pad: 1})
		pools = append(pools, exact.ConvShape{Batch: batch, Height: h, Width: w, Channels: s.Dim, KernelH: 2, KernelW: 2, Stride: 2})
		h, w, c = h/2, w/2, s.Dim
	}
	return convs, pools, h * w * c
}

func (f convnet) layout(s protocol.ModelSpec, add func(name string, shape ...int)) {
	convs, _, features := f.blocks(s, 1)
	for i, c := range convs {
		add(fmt.Sprintf("convs.%d.weight", i), s.Dim, kernelSide, kernelSide, c.Channels)
		add(fmt.Sprintf("convs.%d.bias", i), s.Dim)
	}
	add("head.weight", s.Outputs, features)
	add("head.bias", s.Outputs)
}

func (convnet) start(_ protocol.ModelSpec, p Param) (std, fill float64) { return startAffine(p) }

func (f convnet) activations(s protocol.ModelSpec, batch int, recompute bool) int {
	convs, _, features := f.blocks(s, 1)
	kept, most := 0, 0
	for _, c := range convs {
		block := c.Rows() * (c.Cols() + 3*s.Dim) // windows, product, relu, and pooled images
		kept, most = kept+block, max(most, block+c.Rows()*c.Cols())
	}
	if recompute {
		kept = 2 * most
	}
	return batch * (kept + most + 2*features + 2*s.Outputs)
}

func (f convnet) assemble(b *builder, e env, s protocol.ModelSpec, batch int, p purpose, _ ropeTable) {
	convs, pools, features := f.blocks(s, batch)
	w := b.weightNodes()
	x := f.features(b, e, s, batch)
	for i, c := range convs {
		b.segment, b.layers = i+1, s.Layers
		at := fmt.Sprint(i)
		col := b.apply(e.im2col(at, c), x)
		y := b.apply(e.affine(at, c.Rows(), c.Cols(), s.Dim), col, w(), w())
		y = b.apply(e.relu(at, c.Rows(), s.Dim), y)
		x = b.apply(e.maxPool(at, pools[i]), y)
	}
	b.segment = 0
	f.finish(b, e, s, batch, p, b.apply(e.affine("head", batch, features, s.Outputs), x, w(), w()))
}

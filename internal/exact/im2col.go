package exact

// Im2Col writes the windows of the images x, (Batch,Height,Width,Channels), to
// col (Rows,Cols): row (b,oh,ow), column (kh,kw,c), padding +0. A convolution
// with weights (out,KernelH,KernelW,Channels) is then the matrix product
//
//	y (Rows,out) = col weightsᵀ     e.Gemm(false, true, Rows, out, Cols, ...)
//
// and y is (Batch,OutH,OutW,out).
func (e *Engine) Im2Col(col, x []float32, shape ConvShape) {
	const kernel = "Im2Col"
	mustShape(kernel, shape)
	need(kernel, "col", len(col), shape.Rows()*shape.Cols())
	need(kernel, "x", len(x), shape.inputs())
	e.args.win = windows(shape, col, x, nil)
	e.pool.run(e, pieces(shape.Rows(), rowsPerPiece(shape.Cols())), func(e *Engine, _, i int) {
		a := &e.args.win
		lo, hi := span(i, rowsPerPiece(a.Cols()), a.Rows())
		for row := lo; row < hi; row++ {
			im2colRow(a, row)
		}
	})
}

func im2colRow(a *winArgs, row int) {
	image := a.x[row/(a.outH*a.outW)*a.Height*a.Width*a.Channels:]
	h0, hlo, hhi := a.clip(row/a.outW%a.outH, a.KernelH, a.Height)
	w0, wlo, whi := a.clip(row%a.outW, a.KernelW, a.Width)
	line := a.KernelW * a.Channels
	col := a.y[row*a.KernelH*line:][:a.KernelH*line]
	for kh := range a.KernelH {
		dst := col[kh*line:][:line]
		if kh < hlo || kh >= hhi {
			clear(dst)
			continue
		}
		clear(dst[:wlo*a.Channels])
		copy(dst[wlo*a.Channels:whi*a.Channels], image[((h0+kh)*a.Width+w0+wlo)*a.Channels:])
		clear(dst[whi*a.Channels:])
	}
}

// Col2Im overwrites dx (Batch,Height,Width,Channels) with the gradient of Im2Col
// from dcol (Rows,Cols): each element is the fold from +0 of acc = acc + dcol
// over the windows that cover it, (oh,ow) ascending, in one block however many
// they are; an element that no window covers is +0. Gradients at padding are
// dropped.
func (e *Engine) Col2Im(dx, dcol []float32, shape ConvShape) {
	const kernel = "Col2Im"
	mustShape(kernel, shape)
	need(kernel, "dx", len(dx), shape.inputs())
	need(kernel, "dcol", len(dcol), shape.Rows()*shape.Cols())
	e.args.win = windows(shape, dcol, dx, nil)
	e.pool.run(e, shape.Batch*shape.Height, func(e *Engine, _, line int) { e.col2imLine(&e.args.win, line) })
}

// col2imLine folds one line of an image; windows do not share a line's elements
// with another piece.
func (e *Engine) col2imLine(a *winArgs, line int) {
	b, ih := line/a.Height, line%a.Height
	dx := a.x[line*a.Width*a.Channels:][:a.Width*a.Channels]
	clear(dx)
	lo, hi := a.covering(ih, a.KernelH, a.outH)
	for oh := lo; oh < hi; oh++ {
		kh := ih + a.Pad - oh*a.Stride
		for ow := range a.outW {
			w0, wlo, whi := a.clip(ow, a.KernelW, a.Width)
			at := ((((b*a.outH+oh)*a.outW+ow)*a.KernelH+kh)*a.KernelW + wlo) * a.Channels
			d := dx[(w0+wlo)*a.Channels : (w0+whi)*a.Channels]
			e.addRow(d, d, a.y[at:])
		}
	}
}

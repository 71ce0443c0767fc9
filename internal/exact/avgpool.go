package exact

// AvgPool averages each window and channel of the images x to y
// (Batch,OutH,OutW,Channels): the fold from +0 of acc = acc + x over the
// positions inside the image, (kh,kw) ascending, in one block, divided by
// KernelH*KernelW, which counts padding as well.
func (e *Engine) AvgPool(y, x []float32, shape ConvShape) {
	const kernel = "AvgPool"
	mustShape(kernel, shape)
	need(kernel, "y", len(y), shape.pooled())
	need(kernel, "x", len(x), shape.inputs())
	e.args.win = windows(shape, y, x, nil)
	e.pool.run(e, pieces(shape.Rows(), rowsPerPiece(shape.Cols())), func(e *Engine, _, i int) {
		a := &e.args.win
		lo, hi := span(i, rowsPerPiece(a.Cols()), a.Rows())
		for row := lo; row < hi; row++ {
			e.avgPoolRow(a, row)
		}
	})
}

func (e *Engine) avgPoolRow(a *winArgs, row int) {
	y := a.y[row*a.Channels:][:a.Channels]
	image := a.x[row/(a.outH*a.outW)*a.Height*a.Width*a.Channels:]
	h0, hlo, hhi := a.clip(row/a.outW%a.outH, a.KernelH, a.Height)
	w0, wlo, whi := a.clip(row%a.outW, a.KernelW, a.Width)
	clear(y)
	for ih := h0 + hlo; ih < h0+hhi; ih++ {
		for iw := w0 + wlo; iw < w0+whi; iw++ {
			e.addRow(y, y, image[(ih*a.Width+iw)*a.Channels:])
		}
	}
	e.divRow(y, y, float32(a.KernelH*a.KernelW))
}

// AvgPoolBackward overwrites dx (Batch,Height,Width,Channels) with the gradient
// of AvgPool from dy (Batch,OutH,OutW,Channels): each element is the fold from
// +0 of acc = acc + dy/(KernelH*KernelW) over the windows that cover it, (oh,ow)
// ascending, in one block; each quotient is rounded.
func (e *Engine) AvgPoolBackward(dx, dy []float32, shape ConvShape) {
	const kernel = "AvgPoolBackward"
	mustShape(kernel, shape)
	need(kernel, "dx", len(dx), shape.inputs())
	need(kernel, "dy", len(dy), shape.pooled())
	e.args.win = windows(shape, dy, dx, nil)
	e.pool.run(e, shape.Batch*shape.Height, func(e *Engine, w, line int) { e.avgPoolBackLine(&e.args.win, line, w) })
}

func (e *Engine) avgPoolBackLine(a *winArgs, line, w int) {
	b, ih := line/a.Height, line%a.Height
	dx, share := a.x[line*a.Width*a.Channels:][:a.Width*a.Channels], e.scratch[w].floats(0, a.Channels)
	clear(dx)
	lo, hi := a.covering(ih, a.KernelH, a.outH)
	for oh := lo; oh < hi; oh++ {
		for ow := range a.outW {
			e.divRow(share, a.y[((b*a.outH+oh)*a.outW+ow)*a.Channels:], float32(a.KernelH*a.KernelW))
			w0, wlo, whi := a.clip(ow, a.KernelW, a.Width)
			for iw := w0 + wlo; iw < w0+whi; iw++ {
				d := dx[iw*a.Channels:][:a.Channels]
				e.addRow(d, d, share)
			}
		}
	}
}

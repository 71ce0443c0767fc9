package exact

// MaxPool takes the maximum of each window and channel of the images x: y is
// (Batch,OutH,OutW,Channels), and index, of the same shape, receives its
// position ih*Width+iw in the image. Positions are visited (kh,kw) ascending,
// padding is not visited. The first of equal elements wins, where +0 and -0 are
// equal; the first NaN, if there is one, wins over all numbers.
func (e *Engine) MaxPool(y []float32, index []int32, x []float32, shape ConvShape) {
	const kernel = "MaxPool"
	mustShape(kernel, shape)
	need(kernel, "y", len(y), shape.pooled())
	need(kernel, "index", len(index), shape.pooled())
	need(kernel, "x", len(x), shape.inputs())
	e.args.win = windows(shape, y, x, index)
	e.pool.run(e, pieces(shape.Rows(), rowsPerPiece(shape.Cols())), func(e *Engine, _, i int) {
		a := &e.args.win
		lo, hi := span(i, rowsPerPiece(a.Cols()), a.Rows())
		for row := lo; row < hi; row++ {
			e.maxPoolRow(a, row)
		}
	})
}

func (e *Engine) maxPoolRow(a *winArgs, row int) {
	y, index := a.y[row*a.Channels:][:a.Channels], a.index[row*a.Channels:][:a.Channels]
	image := a.x[row/(a.outH*a.outW)*a.Height*a.Width*a.Channels:]
	h0, hlo, hhi := a.clip(row/a.outW%a.outH, a.KernelH, a.Height)
	w0, wlo, whi := a.clip(row%a.outW, a.KernelW, a.Width)
	first := true
	for ih := h0 + hlo; ih < h0+hhi; ih++ {
		for iw := w0 + wlo; iw < w0+whi; iw++ {
			at := ih*a.Width + iw
			x := image[at*a.Channels:][:a.Channels]
			if first {
				copy(y, x)
				for c := range index {
					index[c] = int32(at)
				}
				first = false
				continue
			}
			e.takeMax(y, index, x, int32(at))
		}
	}
}

// takeMax replaces the elements of y that those of x exceed, and their index.
func (e *Engine) takeMax(y []float32, index []int32, x []float32, at int32) {
	done := 0
	if e.vec != nil {
		done = e.vecTakeMax(y, index, x, at)
	}
	for c := done; c < len(y); c++ {
		if v, best := x[c], y[c]; best == best && !(v <= best) {
			y[c], index[c] = v, at
		}
	}
}

// MaxPoolBackward overwrites dx (Batch,Height,Width,Channels) with the gradient
// of MaxPool from dy and the index that MaxPool stored, both
// (Batch,OutH,OutW,Channels): each element is the fold from +0 of acc = acc + dy
// over the windows that chose it, (oh,ow) ascending, in one block. An index
// outside the image panics with *ShapeError before anything is written.
func (e *Engine) MaxPoolBackward(dx, dy []float32, index []int32, shape ConvShape) {
	const kernel = "MaxPoolBackward"
	mustShape(kernel, shape)
	need(kernel, "dx", len(dx), shape.inputs())
	need(kernel, "dy", len(dy), shape.pooled())
	need(kernel, "index", len(index), shape.pooled())
	for _, at := range index[:shape.pooled()] {
		require(at >= 0 && int(at) < shape.Height*shape.Width, kernel, "index out of range")
	}
	e.args.win = windows(shape, dy, dx, index)
	e.pool.run(e, shape.Batch, func(e *Engine, _, b int) {
		a := &e.args.win
		size, windows := a.Height*a.Width*a.Channels, a.outH*a.outW
		dx := a.x[b*size:][:size]
		clear(dx)
		for row := b * windows; row < (b+1)*windows; row++ {
			index := a.index[row*a.Channels:][:a.Channels]
			for c, d := range a.y[row*a.Channels:][:a.Channels] {
				dx[int(index[c])*a.Channels+c] += d
			}
		}
	})
}

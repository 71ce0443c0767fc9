package exact

func (e *Engine) vecLayerRow(a *layerArgs, row, w int) { refLayerRow(a, row) }

func (e *Engine) vecLayerBackward(a *layerArgs) {
	e.pool.run(e, a.dim, func(e *Engine, _, j int) { refLayerGain(&e.args.layer, j) })
	e.pool.run(e, a.rows, func(e *Engine, _, row int) { refLayerBackRow(&e.args.layer, row) })
}

func (e *Engine) vecBiasBackward(a *rowsArgs)            { refBiasBackward(e, a) }
func (e *Engine) vecActivation(a *unaryArgs, lo, hi int) { refActivation(a, lo, hi) }

func (e *Engine) vecTakeMax(y []float32, index []int32, x []float32, at int32) (done int) { return 0 }

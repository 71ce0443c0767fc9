package exact

// vector holds the kernels of one SIMD path.
type vector struct{}

// vectorFor returns the kernels of a path, nil for ref, and whether this
// processor can run them.
func vectorFor(path string) (*vector, bool) { return nil, path == PathRef }

func (e *Engine) vecGemm(*gemmArgs)                         {}
func (e *Engine) vecNorm(*normArgs, int, int)               {}
func (e *Engine) vecNormBackward(*normArgs)                 {}
func (e *Engine) vecSwiGLU(*actArgs, int, int, int)         {}
func (e *Engine) vecSwiGLUBackward(*actArgs, int, int, int) {}
func (e *Engine) vecRopeToken(*ropeArgs, int)               {}
func (e *Engine) vecCrossEntropyRow(*ceArgs, int, int)      {}
func (e *Engine) vecScatterRow(*embedArgs, int, int)        {}
func (e *Engine) vecElementwise(*elemArgs, int, int, int)   {}
func (e *Engine) vecRowBlock([]float32, bool) float32       { return 0 }
func (e *Engine) vecAdamW(*adamArgs, int, int, int)         {}
func (e *Engine) vecAttention(*attArgs)                     {}
func (e *Engine) vecAttentionBackward(*attArgs)             {}

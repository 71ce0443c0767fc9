package exact

// vectorFor returns the kernels of a path, nil for ref, and whether this
// processor can run them. Every arm64 processor that Go runs on has NEON.
func vectorFor(path string) (*vector, bool) {
	switch path {
	case PathRef:
		return nil, true
	case PathNEON:
		return &vectorNEON, true
	default:
		return nil, false
	}
}

var vectorNEON = vector{
	mr: 6, nr: 16, stage: 4 * foldBlock, tall: 16, gemm: neonGemm, gemm4: neonGemm4, gemm1: neonGemm1,
	copyRows: neonCopyRows, copySteps: neonCopySteps, transpose8: neonTranspose8,
	add: neonAdd, sub: neonSub, scale: neonScale, fma: neonFMA, divDiv: neonDivDiv,
	sumLanes: neonSumLanes, dotLanes: neonDotLanes,
	mulMul: neonMulMul, normDot: neonNormDot, normGrad: neonNormGrad, rope: neonRope,
	scaleMax: neonScaleMax, expSum: neonExpSum, softGrad: neonSoftmaxGrad,
	swiglu: neonSwiGLU, swigluGrad: neonSwiGLUGrad, adamw: neonAdamW,
	centerDot: neonCenterDot, centerNorm: neonCenterNorm, layerDots: neonLayerDots, layerGrad: neonLayerGrad,
	relu: neonReLU, reluGrad: neonReLUGrad, gelu: neonGELU, geluGrad: neonGELUGrad, takeMax: neonTakeMax,
}

func pause(n int) { neonPause(n) }

package exact

import "github.com/klauspost/cpuid/v2"

// vectorFor returns the kernels of a path, nil for ref, and whether this
// processor can run them.
func vectorFor(path string) (*vector, bool) {
	switch path {
	case PathRef:
		return nil, true
	case PathAVX2:
		return &vectorAVX2, cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3)
	case PathAVX512:
		return &vectorAVX512, cpuid.CPU.Supports(cpuid.AVX2, cpuid.FMA3, cpuid.AVX512F)
	default:
		return nil, false
	}
}

var vectorAVX2 = vector{
	mr: 6, nr: 16, stage: 4 * foldBlock, tall: 16, gemm: avx2Gemm, gemm4: avx2Gemm4, gemm1: avx2Gemm1,
	copyRows: avx2CopyRows, copySteps: avx2CopySteps, transpose8: avx2Transpose8,
	add: avx2Add, sub: avx2Sub, scale: avx2Scale, fma: avx2FMA, divDiv: avx2DivDiv,
	sumLanes: avx2SumLanes, dotLanes: avx2DotLanes,
	mulMul: avx2MulMul, normDot: avx2NormDot, normGrad: avx2NormGrad, rope: avx2Rope,
	scaleMax: avx2ScaleMax, expSum: avx2ExpSum, softGrad: avx2SoftmaxGrad,
	swiglu: avx2SwiGLU, swigluGrad: avx2SwiGLUGrad, adamw: avx2AdamW,
	centerDot: avx2CenterDot, centerNorm: avx2CenterNorm, layerDots: avx2LayerDots, layerGrad: avx2LayerGrad,
	relu: avx2ReLU, reluGrad: avx2ReLUGrad, gelu: avx2GELU, geluGrad: avx2GELUGrad, takeMax: avx2TakeMax,
}

var vectorAVX512 = vector{
	mr: 12, nr: 32, stage: 8 * foldBlock, tall: 8, gemm: avx512Gemm, gemm4: avx512Gemm4, gemm1: avx512Gemm1,
	copyRows: avx512CopyRows, copySteps: avx512CopySteps, transpose8: avx2Transpose8,
	add: avx512Add, sub: avx512Sub, scale: avx512Scale, fma: avx512FMA, divDiv: avx512DivDiv,
	sumLanes: avx512SumLanes, dotLanes: avx512DotLanes,
	mulMul: avx512MulMul, normDot: avx512NormDot, normGrad: avx512NormGrad, rope: avx512Rope,
	scaleMax: avx512ScaleMax, expSum: avx512ExpSum, softGrad: avx512SoftmaxGrad,
	swiglu: avx512SwiGLU, swigluGrad: avx512SwiGLUGrad, adamw: avx512AdamW,
	centerDot: avx512CenterDot, centerNorm: avx512CenterNorm, layerDots: avx512LayerDots, layerGrad: avx512LayerGrad,
	relu: avx512ReLU, reluGrad: avx512ReLUGrad, gelu: avx512GELU, geluGrad: avx512GELUGrad, takeMax: avx512TakeMax,
}

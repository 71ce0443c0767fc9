// Command asm generates the SIMD kernels of package exact with avo. Each kernel
// performs, lane by lane, the operations of the Go reference in the same order;
// docs/numerics.md is the contract. Run it with go generate in internal/exact.
//
// All kernels that walk along a row take n in blocks of sixteen elements, which
// is one AVX-512 register or two AVX2 registers.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("amd64")
	for _, s := range []*isa{avx2, avx512} {
		genGemm(s, "Gemm", s.mr)
		genGemm(s, "Gemm4", 4)
		genGemm(s, "Gemm1", 1)
		genCopyRows(s)
		genCopySteps(s)
		genElementwise(s)
		genNorm(s)
		genLayerNorm(s)
		genRope(s)
		genSoftmax(s)
		genSwiGLU(s)
		genReLU(s)
		genGELU(s)
		genTakeMax(s)
		genAdamW(s)
	}
	genTranspose()
	genPause()
	Generate()
}

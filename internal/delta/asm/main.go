// Command asm generates the SIMD kernels of package delta with avo. Each does to every element what the Go function of
// the same name without prefix does (kernels.go). Run it with go generate in internal/delta.
//
// All kernels take n in blocks of sixteen elements, one AVX-512 register or two AVX2 registers.
package main

import (
	. "github.com/mmcloughlin/avo/build"
)

func main() {
	ConstraintExpr("amd64")
	for _, s := range []*isa{avx2, avx512} {
		genAccumulate(s)
		genTop(s)
		genFlush(s)
		genCount(s)
		genMark(s)
		genFMA(s)
		genLevels(s)
		genAddLevels(s)
		genFloatDots(s)
		genLevelDots(s)
	}
	genLevelTop()
	genLevelSquares()
	genFetch()
	Generate()
}

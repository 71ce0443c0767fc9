package delta

import (
	"github.com/klauspost/cpuid/v2"

	"drystone/internal/exact"
)

//go:generate go run ./asm -out kernels_amd64.s -stubs kernels_amd64.go -pkg delta

// vectorFor returns the kernels of a path of package exact, nil for one that has none here. Those for AVX-512 need its
// instructions for bytes and words too, which package exact does not ask for.
func vectorFor(path string) *vector {
	switch {
	case path == exact.PathAVX512 && cpuid.CPU.Supports(cpuid.AVX512BW):
		return &vectorAVX512
	case path == exact.PathAVX2 || path == exact.PathAVX512:
		return &vectorAVX2
	}
	return nil
}

var vectorAVX2 = vector{
	accumulateBlocks: avx2Accumulate, topBlocks: avx2Top, flushBlocks: avx2Flush, countBlocks: avx2Count,
	markBlocks: avx2Mark, fmaBlocks: avx2FMA, levelBlocks: avx2Levels, addBlocks: avx2AddLevels,
	levelTopBlocks: avx2LevelTop, squareBlocks: avx2LevelSquares, fetchLines: fetch,
	floatDots: avx2FloatDots, levelDots: avx2LevelDots, tileX: 2, tileY: 4,
}

var vectorAVX512 = vector{
	accumulateBlocks: avx512Accumulate, topBlocks: avx512Top, flushBlocks: avx512Flush, countBlocks: avx512Count,
	markBlocks: avx512Mark, fmaBlocks: avx512FMA, levelBlocks: avx512Levels, addBlocks: avx512AddLevels,
	levelTopBlocks: avx2LevelTop, squareBlocks: avx2LevelSquares, fetchLines: fetch,
	floatDots: avx512FloatDots, levelDots: avx512LevelDots, tileX: 4, tileY: 6,
}

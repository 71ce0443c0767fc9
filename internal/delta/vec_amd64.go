package delta

import "drystone/internal/exact"

//go:generate go run ./asm -out kernels_amd64.s -stubs kernels_amd64.go -pkg delta

// vectorFor returns the kernels of a path of package exact, nil for one that has none here.
func vectorFor(path string) *vector {
	switch path {
	case exact.PathAVX2:
		return &vectorAVX2
	case exact.PathAVX512:
		return &vectorAVX512
	}
	return nil
}

var vectorAVX2 = vector{
	accumulateBlocks: avx2Accumulate, topBlocks: avx2Top, flushBlocks: avx2Flush, countBlocks: avx2Count,
	markBlocks: avx2Mark, fmaBlocks: avx2FMA, levelBlocks: avx2Levels, addBlocks: avx2AddLevels,
	floatDots: avx2FloatDots, levelDots: avx2LevelDots,
}

var vectorAVX512 = vector{
	accumulateBlocks: avx512Accumulate, topBlocks: avx512Top, flushBlocks: avx512Flush, countBlocks: avx512Count,
	markBlocks: avx512Mark, fmaBlocks: avx512FMA, levelBlocks: avx512Levels, addBlocks: avx512AddLevels,
	floatDots: avx512FloatDots, levelDots: avx2LevelDots,
}

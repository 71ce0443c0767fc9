// Norms and what folds over the rows of a batch.
#pragma once
#include "fold.cuh"

// A team of sixteen threads has a row. Rows past the end are folded again as row 0 by teams that then write nothing.
KERNEL void rmsnorm(float *y, const float *x, const float *gain, float *rstd, u32 rows, u32 dim, float eps) {
	SHARED static TeamMemory memory;
	u32 row = blockX * teams + threadX / lanes, lane = threadX % lanes;
	bool here = row < rows;
	const float *xr = x + (u64)(here ? row : 0) * dim;
	float ss = teamFold(memory, dim, [xr](u32 i, float acc) { return fma(xr[i], xr[i], acc); });
	float r = 1.0f / root(ss / (float)dim + eps);
	if (!here) return;
	if (rstd && lane == 0) rstd[row] = r;
	float *yr = y + (u64)row * dim;
	for (u32 i = lane; i < dim; i += lanes) yr[i] = (xr[i] * r) * gain[i];
}

KERNEL void rmsnorm_back(float *dx, const float *plus, const float *dy, const float *x, const float *gain, const float *rstd, u32 rows, u32 dim) {
	SHARED static TeamMemory memory;
	u32 row = blockX * teams + threadX / lanes, lane = threadX % lanes;
	bool here = row < rows;
	u64 at = (u64)(here ? row : 0) * dim;
	const float *xr = x + at, *dyr = dy + at;
	float r = rstd[here ? row : 0];
	float c = teamFold(memory, dim, [=](u32 i, float acc) { return fma(dyr[i] * gain[i], xr[i] * r, acc); }) / (float)dim;
	if (!here) return;
	for (u32 i = lane; i < dim; i += lanes) {
		float d = fma(-(xr[i] * r), c, dyr[i] * gain[i]) * r;
		dx[at + i] = plus ? plus[at + i] + d : d;
	}
}

// gain_blocks and sum_blocks leave the results of blocks of 128 rows, (blocks, dim), for join.
KERNEL void gain_blocks(float *partial, const float *dy, const float *x, const float *rstd, u32 rows, u32 dim) {
	u32 j = blockX * threadsX + threadX, lo = blockY * foldBlock, hi = least(lo + foldBlock, rows);
	if (j >= dim) return;
	float acc = 0.0f;
	for (u32 r = lo; r < hi; r++) acc = fma(dy[(u64)r * dim + j], x[(u64)r * dim + j] * rstd[r], acc);
	partial[(u64)blockY * dim + j] = acc;
}

KERNEL void sum_blocks(float *partial, const float *dy, u32 rows, u32 dim) {
	u32 j = blockX * threadsX + threadX, lo = blockY * foldBlock, hi = least(lo + foldBlock, rows);
	if (j >= dim) return;
	float acc = 0.0f;
	for (u32 r = lo; r < hi; r++) acc = acc + dy[(u64)r * dim + j];
	partial[(u64)blockY * dim + j] = acc;
}

// fold_blocks folds blocks of 4096 elements of a long row, one team each: y[b] is the sum of block b, or that of its squares.
KERNEL void fold_blocks(float *y, const float *x, u64 n, u32 squares) {
	SHARED static TeamMemory memory;
	u64 block = (u64)blockX * teams + threadX / lanes, lo = block * rowBlock;
	u32 length = lo < n ? (u32)(n - lo < rowBlock ? n - lo : rowBlock) : 0;
	u32 lane = threadX % lanes, team = threadX / lanes;
	float acc = 0.0f;
	for (u32 i = lane; i < length; i += lanes) acc = squares ? fma(x[lo + i], x[lo + i], acc) : acc + x[lo + i];
	memory.lane[team][lane] = acc;
	__syncthreads();
	if (lane == 0 && length > 0) y[block] = tree(memory.lane[team]);
}

// finish writes what a fold came to, over a count if that is not 0. Nothing was folded if x is null.
KERNEL void finish(float *y, const float *x, float count) {
	float v = x ? x[0] : 0.0f;
	*y = count != 0.0f ? v / count : v;
}

// Losses with their gradients, and the embedding.
#pragma once
#include "fold.cuh"

enum { lossThreads = teamThreads };

// largest is the largest element of a row that is no NaN, every thread's; +0 for a zero, -Inf if there is none.
DEVICE float largest(float *memory, const float *x, u32 n) {
	float m = -INFINITE;
	for (u32 i = threadX; i < n; i += threadsX)
		if (x[i] > m) m = x[i];
	memory[threadX] = m;
	__syncthreads();
	for (u32 half = threadsX / 2; half > 0; half /= 2) {
		if (threadX < half && memory[threadX + half] > memory[threadX]) memory[threadX] = memory[threadX + half];
		__syncthreads();
	}
	m = memory[0] + 0.0f;
	__syncthreads();
	return m;
}

struct BlockFold {
	float lane[teams][lanes];
	float block[maxBlocks];
};

// blockFold is teamFold of one row by all teams: each takes every teams-th block of 4096.
template <typename Term>
DEVICE float blockFold(BlockFold &m, u32 n, Term term) {
	u32 team = threadX / lanes, lane = threadX % lanes;
	u32 blocks = (n + rowBlock - 1) / rowBlock;
	for (u32 b0 = 0; b0 < blocks; b0 += teams) {
		u32 b = b0 + team;
		float acc = 0.0f;
		u32 end = least((b + 1) * rowBlock, n);
		for (u32 i = b * rowBlock + lane; i < end; i += lanes) acc = term(i, acc);
		m.lane[team][lane] = acc;
		__syncthreads();
		if (lane == 0 && b < blocks) m.block[b] = tree(m.lane[team]);
		__syncthreads();
	}
	if (threadX == 0 && blocks != 1) {
		const float *block = m.block;
		m.block[0] = alone(blocks, [block](u32 i, float acc) { return acc + block[i]; });
	}
	__syncthreads();
	float all = m.block[0];
	__syncthreads();
	return all;
}

// A block of threads has a row. dlogits may be logits.
KERNEL void cross_entropy(const float *logits, const int *targets, u32 vocab, float of, float *losses, float *dlogits) {
	SHARED static float memory[lossThreads];
	SHARED static BlockFold fold;
	u64 row = blockX;
	const float *x = logits + row * vocab;
	u32 target = (u32)targets[row];
	float m = largest(memory, x, vocab);
	float d = x[target] - m;
	float l = blockFold(fold, vocab, [=](u32 i, float acc) { return acc + exponential(x[i] - m); });
	if (threadX == 0) losses[row] = logarithm(l) - d;
	if (!dlogits) return;
	for (u32 i = threadX; i < vocab; i += threadsX) {
		float g = exponential(x[i] - m) / l;
		if (i == target) g = g - 1.0f;
		dlogits[row * vocab + i] = g / of;
	}
}

// A team has a row. dpred may be pred.
KERNEL void squared_error(const float *pred, const float *target, u32 rows, u32 dim, float *losses, float *dpred, float divisor) {
	SHARED static TeamMemory memory;
	u32 row = blockX * teams + threadX / lanes, lane = threadX % lanes;
	bool here = row < rows;
	u64 at = (u64)(here ? row : 0) * dim;
	float sum = teamFold(memory, dim, [=](u32 i, float acc) {
		float d = pred[at + i] - target[at + i];
		return fma(d, d, acc);
	});
	if (!here) return;
	if (lane == 0) losses[row] = sum / (float)dim;
	if (!dpred) return;
	for (u32 i = lane; i < dim; i += lanes) {
		float d = pred[at + i] - target[at + i];
		dpred[at + i] = (d + d) / divisor;
	}
}

KERNEL void gather(float *y, const float *table, const int *ids, u64 n, u32 dim) {
	each(i, n) y[i] = table[(u64)(u32)ids[i / dim] * dim + i % dim];
}

// A block of threads has row lo+blockX of the table and a thread some columns of it: the blocks of 128 rows of dy that have the
// row's id, in which the others are absent.
KERNEL void scatter_add(float *dtable, const float *dy, const int *ids, u32 rows, u32 dim, u32 lo, u32 accumulate) {
	int id = (int)(lo + blockX);
	for (u32 j = threadX; j < dim; j += threadsX) {
		float *to = dtable + (u64)blockX * dim + j;
		float total = accumulate ? *to : 0.0f;
		bool any = accumulate;
		for (u32 b = 0; b < rows; b += foldBlock) {
			float acc = 0.0f;
			bool open = false;
			for (u32 r = b; r < least(b + foldBlock, rows); r++) {
				if (ids[r] == id) {
					acc = acc + dy[(u64)r * dim + j];
					open = true;
				}
			}
			if (open) {
				total = any ? total + acc : acc;
				any = true;
			}
		}
		*to = total;
	}
}

// Matrix products. A block of threads computes a tile of TM x TN elements, a thread RM x RN of them. The terms come in slices of
// depth TK through shared memory, two buffers in turn; 128 terms are a block of the fold.
#pragma once
#include "numerics.cuh"
#include "fold.cuh"

struct Product {
	u32 m, n, k;
	const float *a, *b;
	u64 ars, acs, brs, bcs; // element (i,p) of op(A) is a[i*ars + p*acs], (p,j) of op(B) is b[p*brs + j*bcs]
	float *c;
	u64 ldc;
	u32 accumulate;
	float *partial; // not null: block results go here, (blocks, m, n), and c is left alone
	u32 perSlice;   // blocks of the fold for each z of the grid
};

template <int TM, int TN, int RM, int RN, int TK>
DEVICE void multiply(const Product &g) {
	enum { threads = (TM / RM) * (TN / RN), loadsA = TM * TK / threads, loadsB = TN * TK / threads };
	SHARED __attribute__((aligned(16))) static float as[2][TK][TM], bs[2][TK][TN];
	u32 t = threadX, row0 = blockY * TM, col0 = blockX * TN;
	u32 ty = t / (TN / RN) * RM, tx = t % (TN / RN) * RN;
	u32 from = 0, to = g.k;
	if (g.partial) {
		from = least(blockZ * g.perSlice * foldBlock, g.k);
		to = least(from + g.perSlice * foldBlock, g.k);
	}
	float total[RM][RN], acc[RM][RN] = {};
	bool first = !g.accumulate;
#pragma unroll
	for (int i = 0; i < RM; i++) {
#pragma unroll
		for (int j = 0; j < RN; j++) {
			total[i][j] = 0.0f;
			if (g.accumulate && row0 + ty + i < g.m && col0 + tx + j < g.n) total[i][j] = g.c[(row0 + ty + i) * g.ldc + col0 + tx + j];
		}
	}
	float nextA[loadsA], nextB[loadsB];
	// fetch reads the slice from p0 on; what lies outside is 0 and reaches only outputs that are dropped or terms that are skipped.
	auto fetch = [&](u32 p0) {
#pragma unroll
		for (int l = 0; l < loadsA; l++) {
			u32 e = t + l * threads;
			u32 p = g.acs == 1 ? e % TK : e / TM, i = g.acs == 1 ? e / TK : e % TM;
			nextA[l] = p0 + p < to && row0 + i < g.m ? g.a[(row0 + i) * g.ars + (p0 + p) * g.acs] : 0.0f;
		}
#pragma unroll
		for (int l = 0; l < loadsB; l++) {
			u32 e = t + l * threads;
			u32 p = g.bcs == 1 ? e / TN : e % TK, j = g.bcs == 1 ? e % TN : e / TK;
			nextB[l] = p0 + p < to && col0 + j < g.n ? g.b[(p0 + p) * g.brs + (col0 + j) * g.bcs] : 0.0f;
		}
	};
	auto keep = [&](u32 buffer) {
#pragma unroll
		for (int l = 0; l < loadsA; l++) {
			u32 e = t + l * threads;
			u32 p = g.acs == 1 ? e % TK : e / TM, i = g.acs == 1 ? e / TK : e % TM;
			as[buffer][p][i] = nextA[l];
		}
#pragma unroll
		for (int l = 0; l < loadsB; l++) {
			u32 e = t + l * threads;
			u32 p = g.bcs == 1 ? e / TN : e % TK, j = g.bcs == 1 ? e % TN : e / TK;
			bs[buffer][p][j] = nextB[l];
		}
	};
	auto term = [&](u32 buffer, u32 p) {
		float x[RM], y[RN];
#pragma unroll
		for (int i = 0; i < RM; i++) x[i] = as[buffer][p][ty + i];
#pragma unroll
		for (int j = 0; j < RN; j++) y[j] = bs[buffer][p][tx + j];
#pragma unroll
		for (int i = 0; i < RM; i++) {
#pragma unroll
			for (int j = 0; j < RN; j++) acc[i][j] = fma(x[i], y[j], acc[i][j]);
		}
	};
	if (from < to) {
		fetch(from);
		keep(0);
	}
	__syncthreads();
	u32 buffer = 0;
	for (u32 p0 = from; p0 < to; p0 += TK, buffer ^= 1) {
		bool more = p0 + TK < to;
		if (more) fetch(p0 + TK);
		if (p0 + TK <= to) {
#pragma unroll
			for (u32 p = 0; p < TK; p++) term(buffer, p);
		} else {
#pragma unroll 1
			for (u32 p = 0; p < to - p0; p++) term(buffer, p);
		}
		if (more) keep(buffer ^ 1);
		if (!more || (p0 + TK) % foldBlock == 0) { // the end of a block of the fold
			u64 at = (u64)(p0 / foldBlock) * g.m;
#pragma unroll
			for (int i = 0; i < RM; i++) {
#pragma unroll
				for (int j = 0; j < RN; j++) {
					if (g.partial) {
						if (row0 + ty + i < g.m && col0 + tx + j < g.n) g.partial[(at + row0 + ty + i) * g.n + col0 + tx + j] = acc[i][j];
					} else {
						total[i][j] = first ? acc[i][j] : total[i][j] + acc[i][j];
					}
					acc[i][j] = 0.0f;
				}
			}
			first = false;
		}
		__syncthreads();
	}
	if (g.partial) return;
#pragma unroll
	for (int i = 0; i < RM; i++) {
#pragma unroll
		for (int j = 0; j < RN; j++)
			if (row0 + ty + i < g.m && col0 + tx + j < g.n) g.c[(row0 + ty + i) * g.ldc + col0 + tx + j] = total[i][j];
	}
}

#define PRODUCT u32 m, u32 n, u32 k, const float *a, u64 ars, u64 acs, const float *b, u64 brs, u64 bcs, float *c, u64 ldc, u32 accumulate, float *partial, u32 perSlice
#define OPERANDS {m, n, k, a, b, ars, acs, brs, bcs, c, ldc, accumulate, partial, perSlice}

KERNEL __attribute__((launch_bounds(256))) void gemm_large(PRODUCT) { multiply<128, 128, 8, 8, 8>(OPERANDS); }
KERNEL __attribute__((launch_bounds(256))) void gemm_small(PRODUCT) { multiply<32, 32, 2, 2, 16>(OPERANDS); }

// join adds block results (blocks, rows*cols) ascending: to c if that accumulates, else the first is the start.
KERNEL void join(float *c, u64 ldc, const float *partial, u32 blocks, u64 n, u32 cols, u32 accumulate) {
	each(i, n) {
		float *to = c + i / cols * ldc + i % cols;
		float total = accumulate ? *to : blocks ? partial[i] : 0.0f;
		for (u32 b = accumulate ? 0 : 1; b < blocks; b++) total = total + partial[b * n + i];
		*to = total;
	}
}

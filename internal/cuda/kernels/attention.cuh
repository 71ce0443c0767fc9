// Causal attention with shared key and value heads. The softmax of a query is kept in shared memory: at most maxSeq keys.
#pragma once
#include "fold.cuh"
#include "loss.cuh"

enum { maxSeq = 8192 };

struct Heads {
	u32 seq, heads, kvHeads, dim;
	DEVICE_MEMBER u64 q(u32 b, u32 t, u32 h) const { return (((u64)b * seq + t) * heads + h) * dim; }
	DEVICE_MEMBER u64 kv(u32 b, u32 t, u32 h) const { return (((u64)b * seq + t) * kvHeads + h) * dim; }
	DEVICE_MEMBER u64 stat(u32 b, u32 h, u32 t) const { return ((u64)b * heads + h) * seq + t; }
};

// dotFold is the column fold over d of fma(x[d], y[d], acc).
DEVICE float dotFold(const float *x, const float *y, u32 n) {
	float total = 0.0f;
	for (u32 lo = 0; lo < n; lo += foldBlock) {
		float acc = 0.0f;
		for (u32 d = lo; d < least(lo + foldBlock, n); d++) acc = fma(x[d], y[d], acc);
		total = lo == 0 ? acc : total + acc;
	}
	return total;
}

// keyFold is the column fold over keys j < n of fma(p[j], v[j*stride], acc).
DEVICE float keyFold(const float *p, const float *v, u64 stride, u32 n) {
	float total = 0.0f;
	for (u32 lo = 0; lo < n; lo += foldBlock) {
		float acc = 0.0f;
		for (u32 j = lo; j < least(lo + foldBlock, n); j++) acc = fma(p[j], v[j * stride], acc);
		total = lo == 0 ? acc : total + acc;
	}
	return total;
}

// The grid is (queries, heads, batch).
KERNEL void attention(float *o, const float *q, const float *k, const float *v, float *rowMax, float *rowSum, u32 seq, u32 heads, u32 kvHeads, u32 dim, float scale) {
	SHARED static float p[maxSeq];
	SHARED static float memory[lossThreads];
	SHARED static BlockFold fold;
	Heads g = {seq, heads, kvHeads, dim};
	u32 t = blockX, h = blockY, b = blockZ, kv = h / (heads / kvHeads), n = t + 1;
	const float *qr = q + g.q(b, t, h);
	for (u32 j = threadX; j < n; j += threadsX) p[j] = dotFold(qr, k + g.kv(b, j, kv), dim) * scale;
	__syncthreads();
	float m = largest(memory, p, n);
	for (u32 j = threadX; j < n; j += threadsX) p[j] = exponential(p[j] - m);
	__syncthreads();
	float l = blockFold(fold, n, [](u32 j, float acc) { return acc + p[j]; });
	if (threadX == 0) {
		rowMax[g.stat(b, h, t)] = m;
		rowSum[g.stat(b, h, t)] = l;
	}
	for (u32 d = threadX; d < dim; d += threadsX) o[g.q(b, t, h) + d] = keyFold(p, v + g.kv(b, 0, kv) + d, (u64)kvHeads * dim, n) / l;
}

// attention_dots leaves D = rowfold(do*o) of every query and head, (batch, heads, seq).
KERNEL void attention_dots(float *dots, const float *dout, const float *o, u64 n, u32 seq, u32 heads, u32 dim) {
	each(i, n) { // i is (b, t, h)
		const float *x = dout + i * dim, *y = o + i * dim;
		u64 h = i % heads, t = i / heads % seq, b = i / heads / seq;
		dots[(b * heads + h) * seq + t] = alone(dim, [=](u32 d, float acc) { return fma(x[d], y[d], acc); });
	}
}

// The grid is (queries, heads, batch).
KERNEL void attention_dq(float *dq, const float *dout, const float *q, const float *k, const float *v, const float *rowMax, const float *rowSum,
		const float *dots, u32 seq, u32 heads, u32 kvHeads, u32 dim, float scale) {
	SHARED static float ds[maxSeq];
	Heads g = {seq, heads, kvHeads, dim};
	u32 t = blockX, h = blockY, b = blockZ, kv = h / (heads / kvHeads), n = t + 1;
	const float *qr = q + g.q(b, t, h), *dr = dout + g.q(b, t, h);
	u64 stat = g.stat(b, h, t);
	float m = rowMax[stat], l = rowSum[stat], dot = dots[stat];
	for (u32 j = threadX; j < n; j += threadsX) {
		float s = dotFold(qr, k + g.kv(b, j, kv), dim) * scale;
		float w = exponential(s - m) / l;
		ds[j] = w * (dotFold(dr, v + g.kv(b, j, kv), dim) - dot);
	}
	__syncthreads();
	for (u32 d = threadX; d < dim; d += threadsX) dq[g.q(b, t, h) + d] = keyFold(ds, k + g.kv(b, 0, kv) + d, (u64)kvHeads * dim, n) * scale;
}

enum { maxColumns = 4, maxHeadDim = maxColumns * foldBlock };

// The grid is (keys, kv heads, batch), with foldBlock threads: a thread has a query of a block at a time, then columns d of dk
// and dv, over which the sums of earlier blocks are kept.
KERNEL void attention_dkv(float *dk, float *dv, const float *dout, const float *q, const float *k, const float *v, const float *rowMax, const float *rowSum,
		const float *dots, u32 seq, u32 heads, u32 kvHeads, u32 dim, float scale) {
	SHARED static float w[foldBlock], ds[foldBlock];
	Heads g = {seq, heads, kvHeads, dim};
	u32 j = blockX, kv = blockY, b = blockZ, group = heads / kvHeads;
	const float *kr = k + g.kv(b, j, kv), *vr = v + g.kv(b, j, kv);
	float dkTotal[maxColumns] = {}, dvTotal[maxColumns] = {};
	bool any = false;
	for (u32 h = kv * group; h < (kv + 1) * group; h++) {
		for (u32 lo = j / foldBlock * foldBlock; lo < seq; lo += foldBlock) { // blocks before j's are absent
			u32 i = lo + threadX;
			if (i >= j && i < seq) {
				u64 stat = g.stat(b, h, i);
				float s = dotFold(q + g.q(b, i, h), kr, dim) * scale;
				float p = exponential(s - rowMax[stat]) / rowSum[stat];
				w[threadX] = p;
				ds[threadX] = p * (dotFold(dout + g.q(b, i, h), vr, dim) - dots[stat]);
			}
			__syncthreads();
			u32 first = greater((int)j - (int)lo, 0), last = least(foldBlock, seq - lo);
#pragma unroll
			for (u32 c = 0; c < maxColumns; c++) {
				u32 d = c * foldBlock + threadX;
				if (d < dim) {
					float a = 0.0f, z = 0.0f;
					for (u32 x = first; x < last; x++) {
						u64 at = g.q(b, lo + x, h) + d;
						a = fma(ds[x], q[at], a);
						z = fma(w[x], dout[at], z);
					}
					dkTotal[c] = any ? dkTotal[c] + a : a;
					dvTotal[c] = any ? dvTotal[c] + z : z;
				}
			}
			any = true;
			__syncthreads();
		}
	}
#pragma unroll
	for (u32 c = 0; c < maxColumns; c++) {
		u32 d = c * foldBlock + threadX;
		if (d < dim) {
			dk[g.kv(b, j, kv) + d] = dkTotal[c] * scale;
			dv[g.kv(b, j, kv) + d] = dvTotal[c];
		}
	}
}

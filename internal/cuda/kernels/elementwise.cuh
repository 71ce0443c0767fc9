// One operation or function for each element.
#pragma once
#include "numerics.cuh"

KERNEL void add(float *y, const float *a, const float *b, u64 n) { each(i, n) y[i] = a[i] + b[i]; }
KERNEL void subtract(float *y, const float *a, const float *b, u64 n) { each(i, n) y[i] = a[i] - b[i]; }
KERNEL void scale(float *y, const float *x, u64 n, float s) { each(i, n) y[i] = x[i] * s; }
KERNEL void scaled_add(float *y, const float *x, u64 n, float s) { each(i, n) y[i] = fma(s, x[i], y[i]); }

KERNEL void relu(float *y, const float *x, u64 n) { each(i, n) y[i] = x[i] < 0.0f ? 0.0f : x[i]; }

KERNEL void relu_back(float *dx, const float *dy, const float *x, u64 n) {
	each(i, n) {
		float v = x[i];
		dx[i] = v != v ? v : v > 0.0f ? dy[i] : 0.0f;
	}
}

KERNEL void gelu_forward(float *y, const float *x, u64 n) { each(i, n) y[i] = gelu(x[i]); }
KERNEL void gelu_back(float *dx, const float *dy, const float *x, u64 n) { each(i, n) dx[i] = dy[i] * geluSlope(x[i]); }

KERNEL void swiglu(float *y, const float *gate, const float *up, u64 n) {
	each(i, n) y[i] = sigmoidSilu(gate[i]).silu * up[i];
}

KERNEL void swiglu_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up, u64 n) {
	each(i, n) {
		float d = dy[i], u = up[i];
		SigmoidSilu s = sigmoidSilu(gate[i]);
		dgate[i] = (d * u) * fma(s.silu, 1.0f - s.sigmoid, s.sigmoid);
		dup[i] = d * s.silu;
	}
}

KERNEL void add_bias(float *y, const float *x, const float *bias, u64 n, u32 dim) { each(i, n) y[i] = x[i] + bias[i % dim]; }

KERNEL void adamw(float *p, const float *g, float *m, float *v, u64 n, float beta1, float rest1, float beta2, float rest2,
		float corr1, float corr2, float eps, float decay, float lr) {
	each(i, n) {
		float d = g[i];
		float mi = flush(fma(beta1, m[i], rest1 * d));
		float vi = flush(fma(beta2, v[i], rest2 * (d * d)));
		m[i] = mi;
		v[i] = vi;
		float u = (mi / corr1) / (root(vi / corr2) + eps);
		p[i] = fma(lr, u, fma(decay, p[i], p[i]));
	}
}

// Pair i of n, of heads of half pairs each; x1 and x2 lie half apart.
KERNEL void rope(float *y, const float *x, const float *cosine, const float *sine, u64 n, u32 seq, u32 heads, u32 half, u32 inverse) {
	each(i, n) {
		u32 j = (u32)(i % half);
		u64 head = i / half;
		u64 angle = head / heads % seq * half + j;
		u64 at = head * 2 * half + j;
		float c = cosine[angle], s = sine[angle];
		if (inverse) s = -s;
		float x1 = x[at], x2 = x[at + half];
		y[at] = fma(x1, c, -(x2 * s));
		y[at + half] = fma(x2, c, x1 * s);
	}
}

// docs/numerics.md, sections 1 to 3. Compiled with -ffp-contract=off, so that + - * / are add.rn, sub.rn, mul.rn and div.rn;
// a test holds the result against that.
#pragma once
#include "device.cuh"

DEVICE float fma(float x, float y, float z) { return __nvvm_fma_rn_f(x, y, z); }
DEVICE float root(float x) { return __nvvm_sqrt_rn_f(x); }
DEVICE u32 bits(float x) { return __builtin_bit_cast(u32, x); }
DEVICE float fromBits(u32 b) { return __builtin_bit_cast(float, b); }
DEVICE float abs(float x) { return fromBits(bits(x) & 0x7fffffffu); }
DEVICE float flush(float x) { return (bits(x) & 0x7fffffffu) < 0x00800000u ? 0.0f : x; }

#define INFINITE fromBits(0x7f800000u)
#define NOT_A_NUMBER fromBits(0x7fc00000u)

DEVICE float exponential(float x) {
	if (x != x) return x;
	if (x > 0x1.62e42ep+6f) return INFINITE;
	if (x < -0x1.5ep+6f) return 0.0f;
	float t = fma(x, 0x1.715476p+0f, 0x1.8p23f);
	float n = t - 0x1.8p23f;
	float r = fma(-n, 0x1.62e43p-1f, x);
	r = fma(-n, -0x1.05c61p-29f, r);
	float p = fma(0x1.6a4d46p-10f, r, 0x1.123986p-7f);
	p = fma(p, r, 0x1.5558bp-5f);
	p = fma(p, r, 0x1.555492p-3f);
	p = fma(p, r, 0x1.fffffcp-2f);
	p = fma(p, r, 1.0f);
	p = fma(p, r, 1.0f);
	u32 b = bits(p) + (bits(t) << 23);
	return (int)b < 0x00800000 ? 0.0f : fromBits(b);
}

DEVICE float logarithm(float x) {
	if (x != x || x > 0x1.fffffep127f) return x;
	if (x < 0.0f) return NOT_A_NUMBER;
	if (x == 0.0f) return -INFINITE;
	int bias = 0;
	if (bits(x) < 0x00800000u) {
		x = x * 0x1p23f;
		bias = 23;
	}
	int b = (int)bits(x);
	int k = (b - 0x3f2aaaab) >> 23;
	float f = fromBits((u32)b - ((u32)k << 23)) - 1.0f;
	float s = f * f;
	float q = fma(-0x1.07f8e4p-3f, f, 0x1.1e74ccp-3f);
	q = fma(q, f, -0x1.f3178p-4f);
	q = fma(q, f, 0x1.1ed3f2p-3f);
	q = fma(q, f, -0x1.559d8cp-3f);
	q = fma(q, f, 0x1.99d06p-3f);
	q = fma(q, f, -0x1.fffef2p-3f);
	q = fma(q, f, 0x1.555506p-2f);
	q = fma(q, f, -0x1p-1f);
	return fma((float)(k - bias), 0x1.62e43p-1f, fma(q, s, f));
}

// Logistic is z/(1+z) if negative and 1/(1+z) otherwise, as y+d.
struct Logistic {
	float y, d, inv;
};

DEVICE Logistic logistic(float z, bool negative) {
	float den = 1.0f + z;
	float lost = z - (den - 1.0f);
	float num = negative ? z : 1.0f;
	Logistic l;
	l.inv = 1.0f / den;
	l.y = num * l.inv;
	float t = fma(-l.y, den, num);
	t = fma(-l.y, lost, t);
	l.d = t * l.inv;
	return l;
}

struct SigmoidSilu {
	float sigmoid, silu;
};

DEVICE SigmoidSilu sigmoidSilu(float x) {
	Logistic l = logistic(exponential(-abs(x)), x < 0.0f);
	return {l.y + l.d, fma(x, l.y, x * l.d)};
}

struct Gelu {
	float x, square, y, d, rest;
};

DEVICE Gelu geluAt(float x) { // x is no NaN
	x = x < 11.0f ? x : 11.0f;
	x = x > -11.0f ? x : -11.0f;
	float s = x * x;
	float p = fma(0x1.2444f2p-4f, s, 0x1.98845p+0f);
	float e = fma(0x1.2444f2p-4f, s, 0x1.98845p+0f - p);
	e = fma(0x1.49b16ap-29f, s, e + 0x1.9ea1b2p-23f);
	e = fma(0x1.2444f2p-4f, fma(x, x, -s), e);
	float v = x * p;
	float lo = fma(x, e, fma(x, p, -v));
	float z = exponential(-abs(v));
	Logistic l = logistic(z, x < 0.0f);
	float rest = x < 0.0f ? l.inv : z * l.inv;
	return {x, s, l.y, fma(l.y * lo, rest, l.d), rest};
}

DEVICE float gelu(float x) {
	if (x != x || x > 11.0f) return x;
	Gelu g = geluAt(x);
	return fma(g.x, g.y, g.x * g.d);
}

DEVICE float geluSlope(float x) {
	if (x != x) return x;
	Gelu g = geluAt(x);
	float k = fma(0x1.b6676cp-3f, g.square, 0x1.988454p+0f);
	return (g.y + g.d) * fma(g.x * k, g.rest, 1.0f);
}

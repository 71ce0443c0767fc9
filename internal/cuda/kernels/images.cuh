// Windows over images: convolution as a product, and max pooling.
#pragma once
#include "numerics.cuh"

#define WINDOWS int height, int width, int channels, int kernelH, int kernelW, int stride, int pad, int outH, int outW

KERNEL void im2col(float *col, const float *x, u64 n, WINDOWS) {
	each(i, n) { // i is (b, oh, ow, kh, kw, c)
		u64 r = i / channels;
		int c = i % channels, kw = r % kernelW, kh = r / kernelW % kernelH;
		r = r / kernelW / kernelH;
		int ow = r % outW, oh = r / outW % outH;
		u64 b = r / outW / outH;
		int ih = oh * stride - pad + kh, iw = ow * stride - pad + kw;
		bool inside = ih >= 0 && ih < height && iw >= 0 && iw < width;
		col[i] = inside ? x[((b * height + ih) * width + iw) * channels + c] : 0.0f;
	}
}

// The windows that cover position i: from the first with o*stride-pad+kernel > i to the last that begins at i or before.
DEVICE int firstWindow(int i, int kernel, int stride, int pad) { return i + pad < kernel ? 0 : (i + pad - kernel) / stride + 1; }
DEVICE int endWindow(int i, int out, int stride, int pad) { return lesser(out, (i + pad) / stride + 1); }

KERNEL void col2im(float *dx, const float *dcol, u64 n, WINDOWS) {
	each(i, n) { // i is (b, ih, iw, c)
		u64 r = i / channels;
		int c = i % channels, iw = r % width, ih = r / width % height;
		u64 b = r / width / height;
		float acc = 0.0f;
		for (int oh = firstWindow(ih, kernelH, stride, pad); oh < endWindow(ih, outH, stride, pad); oh++) {
			for (int ow = firstWindow(iw, kernelW, stride, pad); ow < endWindow(iw, outW, stride, pad); ow++) {
				int kh = ih + pad - oh * stride, kw = iw + pad - ow * stride;
				acc = acc + dcol[((((b * outH + oh) * outW + ow) * kernelH + kh) * kernelW + kw) * channels + c];
			}
		}
		dx[i] = acc;
	}
}

KERNEL void maxpool(float *y, int *index, const float *x, u64 n, WINDOWS) {
	each(i, n) { // i is (b, oh, ow, c)
		u64 r = i / channels;
		int c = i % channels, ow = r % outW, oh = r / outW % outH;
		u64 b = r / outW / outH;
		float best = 0.0f;
		int at = -1;
		for (int ih = greater(oh * stride - pad, 0); ih < lesser(oh * stride - pad + kernelH, height); ih++) {
			for (int iw = greater(ow * stride - pad, 0); iw < lesser(ow * stride - pad + kernelW, width); iw++) {
				float v = x[((b * height + ih) * width + iw) * channels + c];
				if (at < 0 || (best == best && !(v <= best))) {
					best = v;
					at = ih * width + iw;
				}
			}
		}
		y[i] = best;
		index[i] = at;
	}
}

KERNEL void maxpool_back(float *dx, const float *dy, const int *index, u64 n, WINDOWS) {
	each(i, n) { // i is (b, ih, iw, c)
		u64 r = i / channels;
		int c = i % channels, iw = r % width, ih = r / width % height;
		u64 b = r / width / height;
		float acc = 0.0f;
		for (int oh = firstWindow(ih, kernelH, stride, pad); oh < endWindow(ih, outH, stride, pad); oh++) {
			for (int ow = firstWindow(iw, kernelW, stride, pad); ow < endWindow(iw, outW, stride, pad); ow++) {
				u64 from = ((b * outH + oh) * outW + ow) * channels + c;
				if (index[from] == ih * width + iw) acc = acc + dy[from];
			}
		}
		dx[i] = acc;
	}
}

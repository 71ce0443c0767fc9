// The kernels of docs/numerics.md for NVIDIA cards: see generate.go for how they become kernels.ptx.
#include "elementwise.cuh"
#include "gemm.cuh"
#include "norm.cuh"
#include "loss.cuh"
#include "attention.cuh"
#include "images.cuh"

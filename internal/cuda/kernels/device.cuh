// What the kernels need of CUDA, so that clang alone compiles them, without the toolkit.
#pragma once

#define KERNEL extern "C" __attribute__((global))
#define DEVICE static __attribute__((device)) inline
#define DEVICE_MEMBER __attribute__((device)) inline
#define SHARED __attribute__((shared))

typedef unsigned u32;
typedef unsigned long long u64;

extern "C" __attribute__((device)) void __syncthreads();

#define threadX ((u32)__nvvm_read_ptx_sreg_tid_x())
#define blockX ((u32)__nvvm_read_ptx_sreg_ctaid_x())
#define blockY ((u32)__nvvm_read_ptx_sreg_ctaid_y())
#define blockZ ((u32)__nvvm_read_ptx_sreg_ctaid_z())
#define threadsX ((u32)__nvvm_read_ptx_sreg_ntid_x())
#define blocksX ((u32)__nvvm_read_ptx_sreg_nctaid_x())
#define blocksZ ((u32)__nvvm_read_ptx_sreg_nctaid_z())

// each walks [0, n) with all threads of the launch.
#define each(i, n) for (u64 i = (u64)blockX * threadsX + threadX; i < (u64)(n); i += (u64)blocksX * threadsX)

DEVICE u32 least(u32 a, u32 b) { return a < b ? a : b; }
DEVICE int lesser(int a, int b) { return a < b ? a : b; }
DEVICE int greater(int a, int b) { return a > b ? a : b; }

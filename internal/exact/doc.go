// Package exact provides float32 kernels that have exactly one result, to the
// bit, on every processor, for every number of threads and on every code path.
//
// # Use
//
//	e, err := exact.New(runtime.GOMAXPROCS(0))
//	if err != nil { ... }
//	defer e.Close()
//	e.Gemm(false, true, m, n, k, x, k, w, k, y, n, false) // y = x wᵀ
//
// An [Engine] is a code path (ref, avx2, avx512, neon) and a pool of workers. The
// portable Go path, ref, is the law: any other path must return its bits. The
// environment variable DRYSTONE_CPU forces a path. One caller at a time may use
// an Engine; several Engines may be used at once.
//
// # What makes a result unique
//
// IEEE-754 binary32 arithmetic, rounded to nearest even, gives one result per
// operation. What differs between machines is the order of sums and the fusing
// of a multiplication with an addition. Both are fixed here: docs/numerics.md
// lists for each kernel its operations in order. Sums are folded on two levels:
//
//	terms   0 ....... 127 | 128 ...... 255 | 256 .... k-1
//	         acc from +0  |   acc from +0  |  acc from +0     each ascending
//	              B0      +        B1      +       B2         ascending
//
// and sums along a row on sixteen lanes that a fixed tree joins (see [Engine.Sum]).
// Work is split among threads only over independent outputs and whole blocks, so the number of
// threads cannot change a bit.
//
// # Guarantees and limits
//
// Kernels do not allocate once their scratch memory has grown to the sizes in
// use. Slices must have the lengths that each comment states: a kernel checks
// them before it starts and panics with a value of type [*ShapeError] if one is
// wrong; this is the only panic a caller can cause. Unless a comment says that
// two arguments may alias, outputs must not overlap inputs. NaN in, NaN out; the
// payload and sign of a NaN are not part of the contract.
package exact

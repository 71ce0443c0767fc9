// Package delta is the codec of the pseudo-gradient on its way up: dense float32, or the largest values of every chunk
// in two bits each, with error feedback. Every result is defined to the bit, so a verifier that repeats an encoding
// compares bytes.
//
// # Use
//
//	c, err := delta.New(spec.Codec)
//	payload, err := c.Encode(nil, u, feedback) // u = theta_r - theta_H of one shard; feedback is overwritten
//	...
//	err = c.Validate(payload, len(u))          // always before anything else, on bytes from a peer
//	err = c.AddTo(sum, weight, payload)
//
// A vector is cut into chunks of 4096 parameters, the last one shorter. Chunks encode independently and have a width
// that only their length decides, so chunk i of a payload is found by arithmetic and checked alone.
//
// # Dense
//
// A chunk is its float32 values, little-endian. NaN and infinities have no encoding.
//
// # Sparse
//
// It follows SparseLoCo (Sarfi et al. 2025): the top k of each chunk, 2-bit values, decayed error feedback. A chunk of c
// parameters has n = min(k, c) entries and 2 + ceil(14n/8) bytes, one little-endian bit string after the scale:
//
//	byte 0      2                        2 + 12n/8                     2 + ceil(14n/8)
//	+-----------+------------------------+-----------------------------+
//	| scale     | index 0 | ... | n-1    | code 0 | ... | n-1 | zeros  |
//	| fp16, LE  | 12 bits each           | 2 bits each                 |
//	+-----------+------------------------+-----------------------------+
//
//	code  0  +scale     2  -scale        scale: IEEE 754 binary16, >= 0, finite
//	      1  +2*scale   3  -2*scale
//
// The m <= n entries in use come first, their indices strictly ascending and below c; the unused ones are all zero, and
// so is an unused index, which cannot be mistaken for an ascending one. If no entry is in use, the whole chunk is zero.
// Otherwise the scale is not zero and at least one entry has code 0 or 2. So a decoded chunk has exactly one encoding.
//
// Encoding a chunk, every operation rounded to nearest even:
//
//  1. a = fma(decay, before, u), in float32; anything but a finite number is an error.
//  2. Candidates are the n entries of a that come first by (magnitude bits descending, index ascending), zeros excluded.
//  3. The scale s starts at the mean magnitude of the candidates and is refined 4 times, in float64: a magnitude x is
//     dropped if x < s/2, low if x < 3s/2, else high; then s = (L + 2H) / (l + 4h), the least-squares scale for the sums
//     L, H and counts l, h of low and high ones. Sums run in order of index.
//  4. s is rounded to binary16; beyond its range the vector has no encoding. If s is zero the chunk is. Candidates are
//     classed once more with the rounded scale; while all that are kept are high, the scale doubles.
//  5. after = a - decoded value; where its magnitude is below 2^-126, +0.
//
// Dropping a candidate that is nearer to zero than to the scale costs nothing on the wire and less error than keeping it.
// The ratio 2 keeps both magnitudes exact in every format; TestScaleIsNearlyBest compares the scale that 4 rounds find
// with the best of all scales, for k of 64 and more. Error feedback makes up for the rest.
//
// # Code paths
//
// The Go code is the law. On amd64 kernels for AVX2 and AVX-512 (vec.go, asm/) return its bits: accumulation, the search
// for the k-th value, whole vectors. Which path a Codec takes is chosen as in internal/exact, by DRYSTONE_CPU or the
// processor.
//
// # Guarantees
//
// A Codec is a value without state: it is safe for concurrent use, starts nothing and, once dst has its capacity,
// allocates nothing but now and then 50 KB of scratch memory, which it hands from call to call. Validate looks at every byte and never panics, whatever the bytes.
package delta

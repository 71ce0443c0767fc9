// Package delta is the codec of pseudo-gradients: dense float32, the largest values of every chunk in two or four bits
// each, all values in eight bits, or those of a mask that everyone can draw. All but dense leave an error that the next
// encoding takes in. Every result is defined to the bit, so a verifier that repeats an encoding compares bytes.
//
// # Use
//
//	c, err := delta.New(spec.Codec)
//	payload, err := c.Encode(nil, u, feedback) // u = theta_r - theta_H of one shard; feedback is overwritten
//	...
//	err = c.Validate(payload, len(u))          // always before anything else, on bytes from a peer
//	err = c.AddTo(sum, weight, payload)
//
// The way down is the same with the settings of CodecSpec.Downward, whoever merges holding the error feedback:
//
//	payload, err := c.Encode(nil, step, feedback) // step: what theta would lose
//	err = c.AddTo(theta, -1, payload)             // there, and at every receiver after Validate
//
// A vector is cut into chunks of 4096 parameters, the last one shorter. Chunks encode independently: chunk i of a payload
// is found from lengths alone and checked alone.
//
// # Wire format, revision 1
//
// A payload is its chunks, one after the other. Their widths follow from their numbers of parameters, but for rice, whose
// payload begins with a table of the length of every chunk: one byte each, or two, little-endian, if a full chunk can
// exceed 255 bytes.
//
//	+----------+----------+-----+----------+---------+---------+-----+---------+
//	| length 0 | length 1 | ... | last     | chunk 0 | chunk 1 | ... | last    |
//	+----------+----------+-----+----------+---------+---------+-----+---------+
//	 rice only
//
// Numbers of several bytes are little-endian, and the first bit of a bit string is the least significant of its first
// byte. A scale is an IEEE 754 binary16, finite, >= 0. A chunk has c parameters and, where codec.top_k limits them,
// n = min(top_k, c) entries, of which the first m <= n are in use, with ascending indices. Values are b bits wide.
//
//	dense    c float32; NaN and infinities have no encoding
//
//	sparse   +-----------+------------------------+-----------------------------+
//	         | scale     | index 0 | ... | n-1    | code 0 | ... | n-1 | zeros  |
//	         | 2 bytes   | 12 bits each           | b bits each                 |
//	         +-----------+------------------------+-----------------------------+
//
//	rice     +-----------+-----------+----------------------+--------------------------------+
//	         | P scale   | m, if P   | code 0 | ... | m-1   | gap 0 | ... | gap m-1 | zeros  |
//	         | 2 bytes   | see below | b bits each          | to a whole byte                |
//	         +-----------+-----------+----------------------+--------------------------------+
//
//	int8     +-----------+---------------------------+     masked   +-----------+---------------------------+
//	         | scale     | level 0 | ... | level c-1 |              | scale     | level 0 | ... | level n-1 |
//	         | 2 bytes   | 8 bits each               |              | 2 bytes   | 8 bits each               |
//	         +-----------+---------------------------+              +-----------+---------------------------+
//
// A value is a level times a unit. A code holds the magnitude of a level less one, and above these b-1 bits the sign:
//
//	value bits   levels           unit          one level is at least
//	2            +-1, +-2         scale         +-1
//	4            +-1 ... +-8      scale / 8     +-8
//	8            -127 ... 127     scale / 128   +-127
//
// The last column makes the scale unique: of the entries in use, one has that level. Without entries, or if all levels of
// 8 bits are zero, the scale is zero, and only then. So a decoded chunk has exactly one encoding, provided that:
//
//   - sparse: unused entries are all zero, and so is an unused index, which cannot be mistaken for an ascending one;
//   - rice: a chunk without entries has no bytes. P, where binary16 has its sign, is set if m < n, and only then does m
//     follow, in as many bits as n-1 has. A gap is the number of parameters since the entry before, or since the
//     beginning; g is coded as g>>r zeros, a one, and the low r bits of g (Rice 1979), r being the largest number with
//     16 n 2^r <= 11 c, or 0;
//   - masked: entries are those of the mask, all in use.
//
// # Encoding
//
// Every operation is rounded to nearest even.
//
//  1. a = fma(decay, before, u), in float32; anything but a finite number is an error.
//  2. Candidates are, for sparse and rice, the n entries of a that come first by (magnitude bits descending, index
//     ascending), zeros excluded; for masked those of the mask; for int8 all.
//  3. For 2-bit values the scale s starts at the mean magnitude of the candidates and is refined 4 times, in float64: a
//     magnitude x is dropped if x < s/2, low if x < 3s/2, else high; then s = (L + 2H) / (l + 4h), the least-squares
//     scale for the sums L, H and counts l, h of low and high ones. Sums run in order of index. s is rounded to binary16;
//     beyond its range the vector has no encoding. If s is zero the chunk is. Candidates are classed once more with the
//     rounded scale; while all that are kept are high, the scale doubles. Low is level 1, high level 2.
//  4. For wider values the scale is the largest binary16 at most the largest magnitude x of the candidates, or 128x/127 in
//     float64 for 8 bits. If it is zero the chunk is. A level is a/unit, rounded to float32, brought into range, and
//     rounded to a whole number. Entries of level zero are dropped, but for masked and int8.
//  5. after = a - decoded value; where its magnitude is below 2^-126, +0.
//
// Sparse follows SparseLoCo (Sarfi et al. 2025): the top k of each chunk, 2-bit values, decayed error feedback. Dropping a
// candidate that is nearer to zero than to the scale costs nothing on the wire and less error than keeping it. The ratio 2
// keeps both magnitudes exact in every format; TestScaleIsNearlyBest compares the scale that 4 rounds find with the best
// of all scales, for k of 64 and more. Error feedback makes up for the rest.
//
// # Inner products
//
// Merge rules see payloads through the inner products of their decoded values, in float64 (Codec.Products):
//
//	dot(x, y) of a chunk    lane l of 8 folds float64(x[p])*float64(y[p]) for p = l, l+8, ... ascending from +0;
//	                        then l += l+4 (l < 4), l += l+2 (l < 2), l += l+1
//	of a shard              its chunks ascending from +0
//
// A product of two float32 is exact in float64. So is a chunk's sum in every form but dense: levels are whole numbers of 8
// bits and units have 11, so that any 4096 products of one pair add up within 48 bits. There a kernel may take whole
// numbers, in any order, and skip what is not there.
//
// # Masks
//
// A masked payload holds values only, all peers' at the same indices, for merge rules that compare or add coordinates
// without decoding indices. Which ones is public: [Codec.WithMask] takes an integer, drawn from the randomness of the
// round, and the number of the payload's first chunk in the model. The mask of a chunk is a set of n of its c indices,
// from the generator chacha8rand (C2SP) under a key of 32 bytes:
//
//	+-----------+-----------+--------------------+
//	| seed, u64 | chunk, u64| "delta mask rev 1" |
//	+-----------+-----------+--------------------+
//
// For j from c-n to c-1, t is the low 32 bits of its next number times j+1, divided by 2^32; t joins the set, or j if t
// is in it already. Every set is equally likely, but for a bias below 2^-20.
//
// In a run the seed follows from the RunID and the round (Codec.Round), and the first chunk from the shard (Codec.Shard).
//
// # Turns
//
// With codec.stagger = p above 1 shards take turns: shard k is sent in the rounds r with k mod p = r mod p. In the other
// rounds its payload has no bytes, every value decodes to +0, and after = fma(decay, before, u), where its magnitude is below
// 2^-126 +0: the whole pseudo-gradient waits in the error feedback.
//
// # Code paths
//
// The Go code is the law. On amd64 kernels for AVX2 and AVX-512 (vec.go, asm/) return its bits: accumulation, the search
// for the k-th value, levels, whole vectors, inner products. Which path a Codec takes is chosen as in internal/exact, by DRYSTONE_CPU or
// the processor.
//
// # Guarantees
//
// A Codec is a value without state: it is safe for concurrent use, starts nothing and, once dst has its capacity,
// allocates nothing but now and then 40 KB of scratch memory, which it hands from call to call; a Reader has its own. Validate looks at every
// byte and never panics, whatever the bytes.
package delta

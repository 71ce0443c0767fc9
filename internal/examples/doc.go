// Package examples holds datasets of labelled examples: images or table rows, each with a class or with values to
// predict. A launcher makes them from IDX files, CSV tables or its own generators and encodes them once; everybody else
// reads the encoded form alone, which the run spec names by digest.
//
// # Encoded form, version 1
//
// All integers and floats are little-endian, floats are binary32, n is height * width * channels:
//
//	offset
//	0    | "drystone" | u32 version = 1 | u32 element: 1 = uint8, 4 = float32 |
//	16   | u32 height | u32 width | u32 channels | u32 classes | u32 values   | u32 constants | u64 count |
//	48   | mean[constants] | scale[constants] | value mean[values] | value scale[values] | floats
//	...  | record 0 | record 1 | ... | record count-1 |
//
//	record   | n elements, row-major (height, width, channels) | target: u32 class, or values floats |
//
// Exactly one of classes and values is above 0; constants is 1, for all features, or n, one for each. A table has height
// and width 1. Every float is finite, scales are above 0, and there is nothing after the last record, so one dataset has
// one encoding.
//
// A model reads feature j as (element - mean) * scale, with a float32 subtraction and a float32 multiplication, each
// rounded once, and is to predict (value - value mean) * value scale, likewise. So the constants that standardise data
// travel with the data, and no peer has to compute them.
//
// # Bounds
//
// 65,536 features and as many classes or values; 2^40 examples. [Open] reads every record once and allocates only what
// the header's constants take, which are part of the input.
package examples

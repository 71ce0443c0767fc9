// Package ptxsim executes PTX, the assembly of NVIDIA's cards, on a processor and to the bit, so that the kernels that are
// shipped can be tested where there is no card. It knows the instructions that clang emits for them and no others: what it does
// not know, Parse refuses.
//
//	m, err := ptxsim.Parse(text)
//	err = m.Launch(memory, "add", [3]uint32{4, 1, 1}, [3]uint32{128, 1, 1}, args)
//
// Blocks run one after the other, and so do the threads of a block, each from barrier to barrier. Every address is checked:
// an access outside the memory of Memory or of the block is an error that names the instruction. Shared memory begins as
// NaNs, and a barrier that only some threads reach is an error.
//
// What it cannot show is what depends on several threads at once: a missing barrier may go unseen. Reverse runs the threads of
// a block the other way round, which shows most of them.
package ptxsim

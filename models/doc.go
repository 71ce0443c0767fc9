// Package models builds networks as Gorgonia graphs whose every operation is exact: loss and gradients have the same bits
// on every machine, code path and number of threads. There are three families: decoders of the Llama family (RMSNorm, RoPE,
// SwiGLU, causal attention with grouped key and value heads), which this page describes; multilayer perceptrons (mlp.go)
// and small convolutional networks (convnet.go) on labelled examples. family.go says what a family is.
//
// # Use
//
//	eng, err := exact.New(runtime.GOMAXPROCS(0))
//	defer eng.Close()
//	m, err := models.New(spec, eng, batch, models.Options{})
//	theta, err := models.Init(spec, seed)
//	copy(m.Params(), theta)
//	for ... {
//	    loss, err := m.Step(models.Inputs{Tokens: tokens, Targets: targets}) // both (batch, Context); forward and backward
//	    update(m.Params(), m.Grads())                                        // in place
//	}
//	text, err := m.Sample([]byte("The "), 80, 0.8, seed)
//
// One caller at a time may use a Model. Step, Loss and Logits allocate nothing after their first call. A panic inside an
// operation comes back as an error. [Options] trade memory for time and choose what is trained; they change no bit.
//
// # One flat vector
//
// All parameters lie in one float32 vector theta, which the graph reads in place, and so do the gradients, which it
// writes in place. [Layout] gives the order and the Hugging Face names; weights are (out, in), row-major, y = x Wᵀ:
//
//	theta | embed_tokens | layer 0: norm | q | k | v | o | norm | gate | up | down | layer 1 ... | norm | lm_head |
//	                                       \---------/                  \-------/
//	                                       one graph node               one graph node
//
// # The graph
//
// Activations are matrices of R = batch*Context rows. Every box is one operation (op_*.go), a gorgonia.Op with a
// symbolic derivative over the kernels of internal/exact:
//
//	tokens -> embed -> x
//	x -> rmsnorm -> linear(q|k|v) -> rope -> attention -> residual(x, o)    -> x     per layer
//	x -> rmsnorm -> linear(gate|up) -> swiglu          -> residual(x, down) -> x     per layer
//	x -> rmsnorm -> head(targets) -> mean loss               or linear(head) -> logits
//
// Gorgonia builds the graph and differentiates it. Its own arithmetic never runs: where two gradients meet it inserts an
// addition, in whose place the machine (machine.go) runs exact.Add.
//
// # From graph to steps
//
//	lower     nodes on which a result depends, as instructions; gradients of weights, as the parts that are trained
//	fuseSums  an rmsnorm's derivative adds the gradient past the branch itself
//	recompute if asked for: before the way back enters a layer, the layer's instructions again
//	plan      a place in the arena for every value
//
// head is output layer and loss in one, for 512 rows at a time: logits of all rows never exist in a training step.
//
// # What fixes the bits
//
// Besides the contracts of the kernels, in internal/exact:
//
//   - linear folds over its input width; dW folds over rows; dx of a packed linear adds dq Wq, dk Wk and dv Wv (or dgate
//     Wgate and dup Wup) in this order, block by block as Gemm accumulates;
//   - residual folds the product first and adds x once;
//   - at x the gradient is (gradient past the branch) + (gradient through the branch's rmsnorm); the gradient of a tied
//     embedding is (head) + (gather). These are the only sums of gradients. Each has two terms;
//   - the mean loss is the row fold of the losses divided by R; the division of the gradient is in the kernel.
//
// The order in which the machine runs operations does not matter, since each is a function of its operands. With passes
// (Options.MicroBatch) the folds over rows, of dW, of the gains' and the embedding's gradients, go on from pass to pass at
// blocks of 128 rows; losses of all passes are kept and folded once; the two terms of a tied embedding are added once, after
// the last pass. A part of dW is some of its independent rows. Recomputation runs the same kernels on the same operands.
//
// # Memory
//
// Memory is planned when a graph is compiled: the steps between which each result is needed are known, and all results
// of a run lie in one arena where two share a place exactly if no step needs both (planner.go). rope, rmsnorm's and swiglu's
// derivatives take the place of their operand where it dies with them. A step needs 4 bytes per parameter, 4 per trained
// parameter, about 4*R*(8*Dim + 3*FFN) bytes per layer from the lowest trained one up, or 4*R*Dim and one layer's share if layers
// are recomputed, and some matrices of R rows that all layers share. R is the rows of a pass. See [Model.Memory].
//
// # Files
//
// [WriteSafetensors] and [ReadSafetensors] use the safetensors format, and [ConfigJSON] gives the config.json with which
// Hugging Face's LlamaForCausalLM computes the same function:
//
//	| 8 bytes: n, little-endian | n bytes: JSON {"__metadata__": {...}, name: {dtype, shape, data_offsets}} | float32 data |
package models

package cuda

import (
	"math"

	"drystone/internal/exact"
)

// The longest sequence whose softmax fits a block's shared memory, and the widest head of the backward pass.
const (
	maxSeq     = 8192
	maxHeadDim = 4 * exact.FoldBlock
)

// heads checks the operands that both passes have, and returns the scale.
func heads(kernel string, q, k, v, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int) float32 {
	require(batch >= 0 && seq >= 0 && headDim > 0, kernel, "bad dimension")
	require(seq <= maxSeq && headDim <= maxHeadDim, kernel, "a card takes sequences of at most 8192 and heads of at most 512 elements")
	require(kvHeads > 0 && heads > 0 && heads%kvHeads == 0, kernel, "heads is not a multiple of kvHeads")
	need(kernel, "q", len(q), batch*seq*heads*headDim)
	need(kernel, "k", len(k), batch*seq*kvHeads*headDim)
	need(kernel, "v", len(v), batch*seq*kvHeads*headDim)
	need(kernel, "rowMax", len(rowMax), batch*heads*seq)
	need(kernel, "rowSum", len(rowSum), batch*heads*seq)
	return 1 / float32(math.Sqrt(float64(headDim)))
}

// Attention implements exact.Kernels.
func (c *Card) Attention(o, q, k, v, rowMax, rowSum []float32, batch, seq, nq, kvHeads, headDim int) {
	const kernel = "Attention"
	scale := heads(kernel, q, k, v, rowMax, rowSum, batch, seq, nq, kvHeads, headDim)
	need(kernel, "o", len(o), batch*seq*nq*headDim)
	if batch*seq > 0 {
		c.launch("attention", [3]int{seq, nq, batch}, teamThreads, o, q, k, v, rowMax, rowSum, seq, nq, kvHeads, headDim, scale)
	}
}

// AttentionBackward implements exact.Kernels.
func (c *Card) AttentionBackward(dq, dk, dv, do, q, k, v, o, rowMax, rowSum []float32, batch, seq, nq, kvHeads, headDim int) {
	const kernel = "AttentionBackward"
	scale := heads(kernel, q, k, v, rowMax, rowSum, batch, seq, nq, kvHeads, headDim)
	n, nkv := batch*seq*nq*headDim, batch*seq*kvHeads*headDim
	need(kernel, "o", len(o), n)
	need(kernel, "do", len(do), n)
	need(kernel, "dq", len(dq), n)
	need(kernel, "dk", len(dk), nkv)
	need(kernel, "dv", len(dv), nkv)
	if batch*seq == 0 {
		return
	}
	dots := c.workspace(batch * seq * nq)
	c.each("attention_dots", batch*seq*nq, dots, do, o, batch*seq*nq, seq, nq, headDim)
	c.launch("attention_dq", [3]int{seq, nq, batch}, exact.FoldBlock, dq, do, q, k, v, rowMax, rowSum, dots, seq, nq, kvHeads, headDim, scale)
	c.launch("attention_dkv", [3]int{seq, kvHeads, batch}, exact.FoldBlock, dk, dv, do, q, k, v, rowMax, rowSum, dots, seq, nq, kvHeads, headDim, scale)
}

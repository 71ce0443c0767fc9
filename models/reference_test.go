package models

import (
	"math"

	"drystone/protocol"
)

// This file is an implementation of the decoder in float64 with plain loops, written from the papers and not from the
// kernels. Tests compare outputs with it, and gradients with its central differences.

// refLinear returns x Wᵀ, packed over outs.
func refLinear(x, w []float64, rows, in int, outs []int) []float64 {
	var y []float64
	for _, n := range outs {
		for r := range rows {
			for j := range n {
				s := 0.0
				for p := range in {
					s += x[r*in+p] * w[j*in+p]
				}
				y = append(y, s)
			}
		}
		w = w[n*in:]
	}
	return y
}

func refNorm(x, gain []float64, rows, dim int, eps float64) []float64 {
	y := make([]float64, rows*dim)
	for r := range rows {
		ss := 0.0
		for j := range dim {
			ss += x[r*dim+j] * x[r*dim+j]
		}
		scale := 1 / math.Sqrt(ss/float64(dim)+eps)
		for j := range dim {
			y[r*dim+j] = x[r*dim+j] * scale * gain[j]
		}
	}
	return y
}

// refRope rotates q and k of packed q, k, v.
func refRope(x []float64, h heads, theta float64) []float64 {
	y := append([]float64(nil), x...)
	at := 0
	for _, n := range []int{h.query, h.kv} {
		for r := range h.rows() {
			for range n {
				for i := range h.hd / 2 {
					angle := float64(r%h.seq) * math.Pow(theta, -2*float64(i)/float64(h.hd))
					a, b := complex(x[at+i], x[at+i+h.hd/2]), complex(math.Cos(angle), math.Sin(angle))
					y[at+i], y[at+i+h.hd/2] = real(a*b), imag(a*b)
				}
				at += h.hd
			}
		}
	}
	return y
}

func refAttention(x []float64, h heads) []float64 {
	nq, nk := h.rows()*h.query*h.hd, h.rows()*h.kv*h.hd
	q, k, v := x[:nq], x[nq:nq+nk], x[nq+nk:]
	o := make([]float64, nq)
	for b := range h.batch {
		for j := range h.query {
			kv := j / (h.query / h.kv)
			for t := range h.seq {
				qrow := q[((b*h.seq+t)*h.query+j)*h.hd:][:h.hd]
				p, total := make([]float64, t+1), 0.0
				for s := range t + 1 {
					dot := 0.0
					for i, a := range qrow {
						dot += a * k[((b*h.seq+s)*h.kv+kv)*h.hd+i]
					}
					p[s] = math.Exp(dot / math.Sqrt(float64(h.hd)))
					total += p[s]
				}
				for s := range t + 1 {
					for i := range h.hd {
						o[((b*h.seq+t)*h.query+j)*h.hd+i] += p[s] / total * v[((b*h.seq+s)*h.kv+kv)*h.hd+i]
					}
				}
			}
		}
	}
	return o
}

func refSwiGLU(x []float64) []float64 {
	n := len(x) / 2
	y := make([]float64, n)
	for i := range n {
		y[i] = x[i] / (1 + math.Exp(-x[i])) * x[n+i]
	}
	return y
}

func refEmbed(table []float64, ids []int32, dim int) []float64 {
	var y []float64
	for _, id := range ids {
		y = append(y, table[int(id)*dim:][:dim]...)
	}
	return y
}

func refCrossEntropy(logits []float64, targets []int32, vocab int) float64 {
	loss := 0.0
	for r, t := range targets {
		row, total := logits[r*vocab:][:vocab], 0.0
		for _, x := range row {
			total += math.Exp(x)
		}
		loss += math.Log(total) - row[t]
	}
	return loss / float64(len(targets))
}

// refLogits runs the whole decoder on theta in the order of Layout.
func refLogits(spec protocol.ModelSpec, theta []float64, tokens []int32, batch int) []float64 {
	h := heads{batch, spec.Context, spec.Heads, spec.KVHeads, spec.Dim / spec.Heads}
	rows, d, f := h.rows(), spec.Dim, spec.FFN
	take := func(n int) []float64 { w := theta[:n]; theta = theta[n:]; return w }
	add := func(a, b []float64) []float64 {
		y := make([]float64, len(a))
		for i := range a {
			y[i] = a[i] + b[i]
		}
		return y
	}
	table := take(spec.Vocab * d)
	x := refEmbed(table, tokens, d)
	for range spec.Layers {
		n := refNorm(x, take(d), rows, d, spec.NormEps)
		qkv := refRope(refLinear(n, take(sum(h.widths())*d), rows, d, h.widths()), h, spec.RopeTheta)
		x = add(x, refLinear(refAttention(qkv, h), take(d*d), rows, d, []int{d}))
		n = refNorm(x, take(d), rows, d, spec.NormEps)
		s := refSwiGLU(refLinear(n, take(2*f*d), rows, d, []int{f, f}))
		x = add(x, refLinear(s, take(d*f), rows, f, []int{d}))
	}
	x = refNorm(x, take(d), rows, d, spec.NormEps)
	if !spec.Tied {
		table = take(spec.Vocab * d)
	}
	return refLinear(x, table, rows, d, []int{spec.Vocab})
}

// centralDifferences returns the gradient of f at x; f may be called with x changed in place.
func centralDifferences(x []float64, f func() float64) []float64 {
	g := make([]float64, len(x))
	for i := range x {
		const step = 1e-5
		old := x[i]
		x[i] = old + step
		up := f()
		x[i] = old - step
		g[i] = (up - f()) / (2 * step)
		x[i] = old
	}
	return g
}

func widen(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}

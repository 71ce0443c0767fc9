package f64

import "math"

// Rope rotates x (batch,seq,heads,headDim): element i of the first half of a head
// with element i of the second, by position*theta^(-2i/headDim); inverse turns
// the other way.
func Rope(x []float64, batch, seq, heads, headDim int, theta float64, inverse bool) []float64 {
	y := make([]float64, batch*seq*heads*headDim)
	half := headDim / 2
	for at := 0; at < len(y); at += headDim {
		position := at / headDim / heads % seq
		for i := range half {
			sin, cos := math.Sincos(float64(position) * math.Pow(theta, -2*float64(i)/float64(headDim)))
			if inverse {
				sin = -sin
			}
			a, b := x[at+i], x[at+half+i]
			y[at+i], y[at+half+i] = a*cos-b*sin, b*cos+a*sin
		}
	}
	return y
}

// Heads is the shape of attention: q and o are (Batch,Seq,Heads,Dim), k and v are
// (Batch,Seq,KVHeads,Dim), KVHeads divides Heads.
type Heads struct{ Batch, Seq, Heads, KVHeads, Dim int }

// each visits the queries; the vectors of key j of the same head begin at kv(j).
func (s Heads) each(f func(q, i int, kv func(j int) int)) {
	for b := range s.Batch {
		for i := range s.Seq {
			for h := range s.Heads {
				group := h / (s.Heads / s.KVHeads)
				f(((b*s.Seq+i)*s.Heads+h)*s.Dim, i, func(j int) int { return ((b*s.Seq+j)*s.KVHeads + group) * s.Dim })
			}
		}
	}
}

// weights returns the softmax over keys 0 to i of the query at q.
func (s Heads) weights(q []float64, i int, k []float64, kv func(j int) int) []float64 {
	w, most := make([]float64, i+1), math.Inf(-1)
	for j := range w {
		w[j] = Dot(q[:s.Dim], k[kv(j):]) / math.Sqrt(float64(s.Dim))
		most = max(most, w[j])
	}
	w = apply(w, func(v float64) float64 { return math.Exp(v - most) })
	sum := Sum(w)
	return apply(w, func(v float64) float64 { return v / sum })
}

// Attention returns causal softmax attention, o.
func Attention(q, k, v []float64, s Heads) []float64 {
	o := make([]float64, len(q))
	s.each(func(at, i int, kv func(j int) int) {
		for j, w := range s.weights(q[at:], i, k, kv) {
			for d := range s.Dim {
				o[at+d] += w * v[kv(j)+d]
			}
		}
	})
	return o
}

// AttentionBackward returns dq, dk and dv.
func AttentionBackward(do, q, k, v []float64, s Heads) (dq, dk, dv []float64) {
	dq, dk, dv = make([]float64, len(q)), make([]float64, len(k)), make([]float64, len(v))
	scale := 1 / math.Sqrt(float64(s.Dim))
	s.each(func(at, i int, kv func(j int) int) {
		weights := s.weights(q[at:], i, k, kv)
		g := do[at:][:s.Dim]
		mean := 0.0
		for j, w := range weights {
			mean += w * Dot(g, v[kv(j):])
		}
		for j, w := range weights {
			ds := w * (Dot(g, v[kv(j):]) - mean) * scale
			for d := range s.Dim {
				dq[at+d] += ds * k[kv(j)+d]
				dk[kv(j)+d] += ds * q[at+d]
				dv[kv(j)+d] += w * g[d]
			}
		}
	})
	return dq, dk, dv
}

package f64

import "math"

// CrossEntropy returns the loss in nats of each row of logits (rows,vocab) and
// the gradient of their mean.
func CrossEntropy(logits []float64, targets []int32, rows, vocab int) (losses, dlogits []float64) {
	losses, dlogits = make([]float64, rows), make([]float64, rows*vocab)
	for r := range rows {
		row, most := logits[r*vocab:][:vocab], math.Inf(-1)
		for _, v := range row {
			most = max(most, v)
		}
		e := apply(row, func(v float64) float64 { return math.Exp(v - most) })
		sum := Sum(e)
		losses[r] = math.Log(sum) + most - row[targets[r]]
		for j, v := range e {
			dlogits[r*vocab+j] = v / sum / float64(rows)
		}
		dlogits[r*vocab+int(targets[r])] -= 1 / float64(rows)
	}
	return losses, dlogits
}

// SquaredError returns the mean squared difference of each row (rows,dim) and the
// gradient of the sum of losses over divisor.
func SquaredError(pred, target []float64, rows, dim, divisor int) (losses, dpred []float64) {
	losses, dpred = make([]float64, rows), make([]float64, rows*dim)
	for i := range dpred {
		d := pred[i] - target[i]
		losses[i/dim] += d * d / float64(dim)
		dpred[i] = 2 * d / float64(dim) / float64(divisor)
	}
	return losses, dpred
}

// AdamW are the settings of AdamWStep.
type AdamW struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	Step                               int
}

// AdamWStep updates p, m and v from g by one step of AdamW.
func AdamWStep(p, g, m, v []float64, h AdamW) {
	c1, c2 := 1-math.Pow(h.Beta1, float64(h.Step)), 1-math.Pow(h.Beta2, float64(h.Step))
	for i, d := range g {
		m[i] = h.Beta1*m[i] + (1-h.Beta1)*d
		v[i] = h.Beta2*v[i] + (1-h.Beta2)*d*d
		p[i] -= h.LR * (m[i]/c1/(math.Sqrt(v[i]/c2)+h.Eps) + h.WeightDecay*p[i])
	}
}

package robust

import "math"

const (
	weiszfeldSteps = 32
	smoothing      = 0x1p-20  // of the median norm
	leastSmoothing = 0x1p-200 // below the distance of any two float32
)

// weiszfeld moves the centre a towards the point whose distances to the vectors, weighted by b, have the least sum.
func weiszfeld(g *Gram, b, a []float64) []float64 {
	norms := make([]float64, g.n)
	for i := range norms {
		norms[i] = math.Sqrt(g.At(i, i))
	}
	nu := max(float64(smoothing*median(norms)), leastSmoothing)
	for range weiszfeldSteps {
		beta := distances(g, a)
		var total float64
		for i, d := range beta {
			beta[i] = b[i] / max(nu, d)
			total += beta[i]
		}
		for i := range beta {
			beta[i] /= total
		}
		a = beta
	}
	return a
}

package robust

const clipSteps = 5

// centeredClip moves the centre a by the mean, weighted by b, of what every vector is away from it, no further than a
// radius for each: median distance from the first centre times the given number.
func centeredClip(g *Gram, b, a []float64, radius float64) []float64 {
	var tau float64
	for step := range clipSteps {
		d := distances(g, a)
		if step == 0 {
			tau = float64(radius * median(d))
		}
		var moved float64
		for i := range d {
			pull := b[i]
			if d[i] > tau {
				pull = float64(b[i] * float64(tau/d[i]))
			}
			d[i] = pull
			moved += pull
		}
		rest := max(0, 1-moved)
		next := make([]float64, g.n)
		for i := range next {
			next[i] = float64(a[i]*rest) + d[i]
		}
		a = next
	}
	return a
}

package robust

import (
	"math"
	"slices"
)

// The vector rules.
const (
	MultiKrum       = "multi-krum"
	GeometricMedian = "geometric-median"
	CenteredClip    = "centered-clip"
)

// Params choose a vector rule. The package comment says what each does.
type Params struct {
	Rule    string  // MultiKrum, GeometricMedian or CenteredClip
	Faults  int     // contributors that may lie, 0 or more; fewer where n vectors do not allow so many
	NormCap float64 // longest vector in median norms, at least 1; 0 for no cap
	Radius  float64 // centered-clip: clipping radius in median distances from the start, more than 0
	Mixing  bool    // mix nearest neighbours first
}

// Tolerated returns how many of n contributors a rule that is told to expect the given number of liars can outvote:
// multi-krum needs n >= 2f+3 (Blanchard et al. 2017, proposition 4.2).
func Tolerated(n, faults int) int { return max(0, min(faults, (n-3)/2)) }

// Weights returns the weight of each vector in the merge, in order. steps holds what each was trained, at least 1. Weights
// are finite, none is negative, and their sum is at most 1 but for rounding. No vectors have no weights. An unknown rule
// is treated as multi-krum; protocol.RunSpec.Validate admits none.
func Weights(g *Gram, steps []uint32, p Params) []float64 {
	if g.n == 0 {
		return nil
	}
	s := make([]float64, g.n)
	for i := range s {
		s[i] = 1
	}
	if p.NormCap > 0 {
		s = caps(g, p.NormCap)
		g = g.scaled(s)
	}
	f := Tolerated(g.n, p.Faults)
	var mix *mixture
	if p.Mixing {
		mix = newMixture(g, steps, f)
		g = mix.gram(g)
	}
	a := average(steps, krum(g, f))
	switch p.Rule {
	case GeometricMedian:
		a = weiszfeld(g, shares(steps), a)
	case CenteredClip:
		a = centeredClip(g, shares(steps), a, p.Radius)
	}
	if mix != nil {
		a = mix.back(a)
	}
	for i := range a {
		a[i] *= s[i]
	}
	return a
}

// caps returns the factor that brings each vector to at most limit median norms.
func caps(g *Gram, limit float64) []float64 {
	norms := make([]float64, g.n)
	for i := range norms {
		norms[i] = math.Sqrt(g.At(i, i))
	}
	c := float64(limit * median(norms))
	s := make([]float64, g.n)
	for i, n := range norms {
		s[i] = 1
		if n > c {
			s[i] = c / n
		}
	}
	return s
}

// median returns the median of at least one value, the lower of two; it does not change x.
func median(x []float64) float64 {
	sorted := slices.Sorted(slices.Values(x))
	return sorted[(len(sorted)-1)/2]
}

// shares returns each contribution's part of all steps.
func shares(steps []uint32) []float64 {
	all := make([]int, len(steps))
	for i := range all {
		all[i] = i
	}
	return average(steps, all)
}

// average returns the weights of the mean, by steps, of the chosen vectors.
func average(steps []uint32, chosen []int) []float64 {
	var total uint64
	for _, i := range chosen {
		total += uint64(steps[i])
	}
	a := make([]float64, len(steps))
	for _, i := range chosen {
		a[i] = float64(steps[i]) / float64(total)
	}
	return a
}

// distances returns how far each vector is from the sum of a_j x_j.
func distances(g *Gram, a []float64) []float64 {
	ga := g.apply(a)
	var aga float64
	for i, w := range a {
		aga += float64(w * ga[i])
	}
	d := make([]float64, g.n)
	for i := range d {
		d[i] = math.Sqrt(max(0, (aga+g.At(i, i))-2*ga[i]))
	}
	return d
}

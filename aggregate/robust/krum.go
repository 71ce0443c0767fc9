package robust

import (
	"cmp"
	"slices"
)

// krum returns the n-f vectors with the lowest scores, in no particular order.
func krum(g *Gram, f int) []int {
	scores := make([]float64, g.n)
	others := make([]float64, 0, g.n)
	for i := range scores {
		others = others[:0]
		for j := range g.n {
			if j != i {
				others = append(others, g.distance2(i, j))
			}
		}
		slices.Sort(others)
		for _, d := range others[:min(len(others), max(1, g.n-f-2))] {
			scores[i] += d
		}
	}
	return lowest(scores, g.n-f)
}

// lowest returns the places of the k smallest values, of equal ones those that come first.
func lowest(x []float64, k int) []int {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Or(cmp.Compare(x[i], x[j]), cmp.Compare(i, j)) })
	return order[:k]
}

package robust

import "slices"

// The coordinate rules.
const (
	TrimmedMean = "trimmed-mean"
	Median      = "median"
)

// MergeTrimmed writes to out, for each parameter, the mean of the values in rows without the f smallest and the f
// largest (Yin et al. 2018, definition 2), f = min(faults, (n-1)/2): added ascending from +0 in float64, divided by their
// number, rounded to float32. rows holds n >= 1 vectors of finite values as long as out. A zero is +0.
func MergeTrimmed(out []float32, rows [][]float32, faults int) {
	f := max(0, min(faults, (len(rows)-1)/2))
	eachSorted(rows, len(out), func(j int, sorted []float32) {
		var sum float64
		kept := sorted[f : len(sorted)-f]
		for _, x := range kept {
			sum += float64(x)
		}
		out[j] = positive(float32(sum / float64(len(kept))))
	})
}

// MergeMedian writes to out, for each parameter, the median of the values in rows (Yin et al. 2018, definition 1): of an
// even number the mean of the two in the middle, added and halved in float64, rounded to float32. rows and zeros as in
// MergeTrimmed.
func MergeMedian(out []float32, rows [][]float32) {
	eachSorted(rows, len(out), func(j int, sorted []float32) {
		n := len(sorted)
		out[j] = positive(float32((float64(sorted[(n-1)/2]) + float64(sorted[n/2])) / 2))
	})
}

func eachSorted(rows [][]float32, n int, visit func(j int, sorted []float32)) {
	values := make([]float32, len(rows))
	for j := range n {
		for i, row := range rows {
			values[i] = row[j]
		}
		slices.Sort(values)
		visit(j, values)
	}
}

// positive makes a zero +0, so that the order in which zeros of either sign were sorted does not show.
func positive(x float32) float32 {
	if x == 0 {
		return 0
	}
	return x
}

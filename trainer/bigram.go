package trainer

import "math"

// bigramAlphas is the grid of smoothing constants that Bigram tries.
var bigramAlphas = [...]float64{1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01}

// Bigram returns the held-out loss in nats per byte of a byte bigram model on the same split, the mark that a trained
// model has to beat:
//
//	P(b | a) = (count(a b) + alpha) / (count(a .) + 256 alpha)
//
// with counts over the training part, the mean over every held-out byte after the first, and add-alpha smoothing with
// that alpha of 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01 which makes the held-out loss least: in the bigram's favour. It is +Inf
// for data other than bytes.
func (d *Dataset) Bigram() float64 {
	if d.width != 1 {
		return math.Inf(1)
	}
	var train, held [256][256]float64
	count(d.data[:d.train], &train)
	count(d.data[d.train:], &held)
	best := math.Inf(1)
	for _, alpha := range bigramAlphas {
		var nats, pairs float64
		for a := range held {
			var total float64
			for _, n := range train[a] {
				total += n
			}
			for b, n := range held[a] {
				if n > 0 {
					nats -= n * math.Log((train[a][b]+alpha)/(total+256*alpha))
					pairs += n
				}
			}
		}
		best = min(best, nats/pairs)
	}
	return best
}

func count(data []byte, pairs *[256][256]float64) {
	for i := range len(data) - 1 {
		pairs[data[i]][data[i+1]]++
	}
}

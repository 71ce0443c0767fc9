package models

import (
	"fmt"
	"math/bits"
	"math/rand/v2"

	"drystone/internal/exact"
)

// maxSample bounds the bytes of one Sample.
const maxSample = 1 << 20

// Sample continues prompt, of at least one byte, by n bytes and returns those. It is a function of theta and its
// arguments, to the byte, on every machine. Temperature 0 takes the likeliest byte, the lowest of several; otherwise
// byte j has the weight exp((x_j - max x) / temperature), rounded down to a multiple of 2^-40, and the k-th draw is the
// high word of (k-th output of chacha8rand keyed with seed) * (sum of weights).
//
// The model sees the last Context bytes. Each byte costs a forward pass over one full sequence.
func (m *Model) Sample(prompt []byte, n int, temperature float32, seed [32]byte) ([]byte, error) {
	if m.spec.OnExamples() {
		return nil, fmt.Errorf("%w: family %s writes no text", ErrTokens, m.spec.Family)
	}
	if n < 0 || n > maxSample {
		return nil, fmt.Errorf("models: sample of %d bytes: want 0 to %d", n, maxSample)
	}
	if !(temperature >= 0 && temperature <= 100) {
		return nil, fmt.Errorf("models: temperature %v: want 0 to 100", temperature)
	}
	src := rand.NewChaCha8(seed)
	window := make([]int32, 0, len(prompt)+n)
	for _, b := range prompt {
		window = append(window, int32(b))
	}
	out := make([]byte, 0, n)
	weights := make([]uint64, min(m.spec.Vocab, 256))
	for range n {
		window = window[max(0, len(window)-m.spec.Context):]
		logits, err := m.Logits(window)
		if err != nil {
			return nil, err
		}
		last := logits[len(logits)-m.spec.Vocab:][:len(weights)]
		for _, x := range last {
			if !finite(x) {
				return nil, fmt.Errorf("%w: sampling met a logit of %v", ErrNotFinite, x)
			}
		}
		b := pick(last, weights, temperature, src)
		out, window = append(out, byte(b)), append(window, int32(b))
	}
	return out, nil
}

// pick draws an index of logits. weights is scratch of the same length.
func pick(logits []float32, weights []uint64, temperature float32, src *rand.ChaCha8) int {
	best := 0
	for j, x := range logits {
		if x > logits[best] {
			best = j
		}
	}
	if temperature == 0 {
		return best
	}
	total := uint64(0)
	for j, x := range logits {
		p := exact.Exp(float32(x-logits[best]) / temperature)
		weights[j] = uint64(float64(p) * (1 << 40)) // a power of two: exact
		total += weights[j]
	}
	u, _ := bits.Mul64(src.Uint64(), total)
	for j, w := range weights {
		if u < w {
			return j
		}
		u -= w
	}
	return best // not reached: the best weighs 2^40 and u < total
}

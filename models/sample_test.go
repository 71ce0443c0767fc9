package models

import (
	"bytes"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

var inf = math.Inf(1)

func TestSampleIsExact(t *testing.T) {
	got := make(map[string]string)
	m := fresh(t, wide, engine(t, 2, bestPath()), 1)
	enlarge(m.Params())
	for name, temperature := range map[string]float32{"greedy": 0, "warm": 1, "hot": 3} {
		b, err := m.Sample([]byte("stone"), 12, temperature, [32]byte{9})
		if err != nil || len(b) != 12 {
			t.Fatalf("%s: %q, %v", name, b, err)
		}
		got[name] = hex.EncodeToString(b)
	}
	golden(t, "sample.json", got)
}

// TestSampleSlides: a prompt longer than the context counts by its last bytes only.
func TestSampleSlides(t *testing.T) {
	spec := specs["plain"]
	m := fresh(t, spec, engine(t, 1, "ref"), 1)
	enlarge(m.Params())
	long := []byte{9, 8, 7, 6, 5, 4, 3, 2, 1}
	a, err := m.Sample(long, 20, 1, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Sample(long[len(long)-spec.Context:], 20, 1, [32]byte{1})
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%v and %v, %v", a, b, err)
	}
	for _, c := range a {
		if int(c) >= spec.Vocab {
			t.Errorf("byte %d is outside the vocabulary", c)
		}
	}
	for name, f := range map[string]func() ([]byte, error){
		"empty prompt": func() ([]byte, error) { return m.Sample(nil, 1, 1, [32]byte{}) },
		"negative n":   func() ([]byte, error) { return m.Sample(long, -1, 1, [32]byte{}) },
		"huge n":       func() ([]byte, error) { return m.Sample(long, maxSample+1, 1, [32]byte{}) },
		"NaN":          func() ([]byte, error) { return m.Sample(long, 1, float32(math.NaN()), [32]byte{}) },
		"cold":         func() ([]byte, error) { return m.Sample(long, 1, -1, [32]byte{}) },
		"prompt":       func() ([]byte, error) { return m.Sample([]byte{200}, 1, 1, [32]byte{}) },
	} {
		if b, err := f(); err == nil {
			t.Errorf("%s: %v", name, b)
		}
	}
}

// TestPickFollowsSoftmax compares frequencies with the softmax: 4 standard deviations of a binomial, from a fixed seed.
func TestPickFollowsSoftmax(t *testing.T) {
	logits := []float32{0, 1, -2, 1, float32(-inf), 3}
	const n, temperature = 200000, 1.5
	src := rand.NewChaCha8([32]byte{5})
	counts, weights := make([]int, len(logits)), make([]uint64, len(logits))
	for range n {
		counts[pick(logits, weights, temperature, src)]++
	}
	total := 0.0
	for _, x := range logits {
		total += math.Exp(float64(x) / temperature)
	}
	for j, x := range logits {
		p := math.Exp(float64(x)/temperature) / total
		if d := math.Abs(float64(counts[j]) - n*p); d > 4*math.Sqrt(n*p*(1-p)) {
			t.Errorf("index %d: drawn %d times, want about %.0f", j, counts[j], n*p)
		}
	}
	if got := pick([]float32{1, 2, 2, 0}, weights[:4], 0, src); got != 1 {
		t.Errorf("greedy pick %d, want the lowest of the largest", got)
	}
}

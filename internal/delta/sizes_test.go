package delta

import (
	"math"
	"math/rand/v2"
	"testing"
)

// inputs are what pseudo-gradients look like at their best and worst for the coding of gaps: independent values, heavy
// tails, and rows of 256 of very different magnitude, so that the largest values come in clusters.
var inputs = map[string]func(rng *rand.Rand, i int) float64{
	"normal":  func(rng *rand.Rand, _ int) float64 { return rng.NormFloat64() },
	"laplace": func(rng *rand.Rand, _ int) float64 { return rng.ExpFloat64() - rng.ExpFloat64() },
	"power 9": func(rng *rand.Rand, _ int) float64 { return math.Pow(rng.NormFloat64(), 9) },
	"rows": func(rng *rand.Rand, i int) float64 {
		return rng.NormFloat64() * math.Exp(3*math.Sin(float64(i/256)*1.7))
	},
}

func drawInput(name string, seed uint64, n int) []float32 {
	rng, draw := rand.New(rand.NewPCG(seed, 11)), inputs[name]
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(draw(rng, i) * 1e-3)
	}
	return x
}

// An upload of 64 values of 4096 in 2 bits is at least 200 times smaller than float32, over rounds of error feedback.
func TestUploadRatio(t *testing.T) {
	const n = 1 << 18
	c := mustNew(t, topK("rice", 64, 2))
	for name := range inputs {
		feedback, size := make([]float32, n), 0
		const rounds = 5
		for r := range rounds {
			p, err := c.Encode(nil, drawInput(name, uint64(r), n), feedback)
			if err != nil {
				t.Fatal(err)
			}
			size += len(p)
		}
		ratio := float64(rounds*4*n) / float64(size)
		t.Logf("%s: %.1f", name, ratio)
		if ratio < 200 {
			t.Errorf("%s: 1 to %.1f", name, ratio)
		}
	}
}

// The update merged from 16 or 64 peers goes down at least 50 times smaller than float32, and what it leaves out stays in
// the sender's error feedback.
func TestWayDown(t *testing.T) {
	const n, rounds = 5 * ChunkParams / 2, 4
	up, spec := mustNew(t, topK("rice", 64, 2)), topK("rice", 256, 2)
	spec.Decay = 1
	down := mustNew(t, spec)
	for _, peers := range []int{16, 64} {
		peerErrors := make([][]float32, peers)
		for p := range peerErrors {
			peerErrors[p] = make([]float32, n)
		}
		feedback, sent, merged := make([]float32, n), make([]float32, n), make([]float64, n)
		size := 0
		for r := range rounds {
			update := make([]float32, n)
			for p := range peers {
				payload, err := up.Encode(nil, normals(uint64(100*r+p), n), peerErrors[p])
				if err != nil {
					t.Fatal(err)
				}
				if err := up.AddTo(update, 1/float32(peers), payload); err != nil {
					t.Fatal(err)
				}
			}
			for i, x := range update {
				merged[i] += float64(x)
			}
			payload, err := down.Encode(nil, update, feedback)
			if err != nil {
				t.Fatal(err)
			}
			size += len(payload)
			if err := down.AddTo(sent, 1, payload); err != nil {
				t.Fatal(err)
			}
		}
		for i := range merged {
			if d := math.Abs(float64(sent[i]) + float64(feedback[i]) - merged[i]); d > 1e-6 {
				t.Fatalf("%d peers: parameter %d: %v merged, %v sent, %v left", peers, i, merged[i], sent[i], feedback[i])
			}
		}
		if ratio := float64(rounds*4*n) / float64(size); ratio < 50 {
			t.Errorf("%d peers: 1 to %.1f", peers, ratio)
		}
	}
}

// No payload exceeds what the spec promises to the message limit.
func TestSizeWithinBound(t *testing.T) {
	for _, spec := range allSpecs {
		for k := min(spec.TopK, 1); k <= spec.TopK; k++ {
			spec := spec
			spec.TopK = k
			if got, bound := mustNew(t, spec).Size(spec.ShardParams), spec.PayloadBound(); got > bound {
				t.Errorf("%+v: %d bytes, bound %d", spec, got, bound)
			}
		}
	}
}

func TestNoAllocations(t *testing.T) {
	u, feedback, acc := normals(1, 9000), make([]float32, 9000), make([]float32, 9000)
	for _, spec := range allSpecs {
		c := mustNew(t, spec)
		buf := make([]byte, 0, c.Size(len(u)))
		if got := testing.AllocsPerRun(10, func() {
			p, err := c.Encode(buf, u, feedback)
			if err != nil || c.Validate(p, len(u)) != nil || c.AddTo(acc, 0.5, p) != nil {
				t.Fatal(err)
			}
		}); got != 0 {
			t.Errorf("%s: %v allocations", label(spec), got)
		}
	}
}

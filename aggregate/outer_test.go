package aggregate_test

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"drystone/aggregate"
	"drystone/aggregate/internal/aggtest"
	"drystone/protocol"
)

func div32(a, b float32) float32 {
	if a == 0 {
		return a / b
	}
	return round32(new(big.Float).SetPrec(300).Quo(exact(float64(a)), exact(float64(b))))
}

func sqrt32(x float32) float32 { return round32(new(big.Float).SetPrec(300).Sqrt(exact(float64(x)))) }

func flush32(x float32) float32 {
	if math.Abs(float64(x)) < 0x1p-126 {
		return 0
	}
	return x
}

// adaptive is one parameter of FedAdam or FedYogi in arbitrary precision, every rounding explicit.
func adaptive(o *protocol.OuterSpec, theta, m, v, u float32) (t, m1, v1 float32) {
	lr, beta1, beta2, tau := float32(o.LR), float32(o.Momentum), float32(o.Beta2), float32(o.Tau)
	m1 = flush32(add32(mul32(beta1, m), mul32(add32(1, -beta1), u)))
	s := mul32(u, u)
	share := mul32(add32(1, -beta2), s)
	switch {
	case o.Optimiser == "fedadam":
		v1 = flush32(add32(mul32(beta2, v), share))
	case v > s:
		v1 = flush32(add32(v, -share))
	case v < s:
		v1 = flush32(add32(v, share))
	default:
		v1 = v
	}
	return add32(theta, -mul32(lr, div32(m1, add32(sqrt32(v1), tau)))), m1, v1
}

// FedAdam and FedYogi equal their definition bit for bit over several rounds, with subnormal values among the moments, and
// state holds m, then v.
func TestAdaptiveMatchesDefinition(t *testing.T) {
	w := aggtest.New(nil)
	rapid.Check(t, func(t *rapid.T) {
		spec := w.Spec
		spec.Aggregate.Rule, spec.Aggregate.NormCap = "mean", 0
		spec.Outer = protocol.OuterSpec{
			Optimiser: rapid.SampledFrom([]string{"fedadam", "fedyogi"}).Draw(t, "optimiser"), LR: 0.1,
			Momentum: rapid.SampledFrom([]float64{0, 0.9}).Draw(t, "beta1"), Beta2: rapid.SampledFrom([]float64{0, 0.99}).Draw(t, "beta2"), Tau: 1e-3,
		}
		n := rapid.SampledFrom([]int{1, 5, 4100}).Draw(t, "params")
		seed := rapid.Uint64().Draw(t, "seed")
		theta, outer := make([]float32, n), make([]float32, 2*n)
		for range 3 {
			u := make([]float32, n)
			for j := range u {
				seed = seed*6364136223846793005 + 1442695040888963407
				u[j] = float32(int32(seed>>32)) * 0x1p-31
				if seed>>10&7 == 0 {
					u[j] *= 1e-21 // its square is below what is kept
				}
			}
			wantT, wantO := make([]float32, n), make([]float32, 2*n)
			for j := range u {
				wantT[j], wantO[j], wantO[n+j] = adaptive(&spec.Outer, theta[j], outer[j], outer[n+j], u[j])
			}
			in := []aggregate.Contribution{{Peer: w.Peers[0].ID(), Steps: 8, Payloads: dense(t, &spec, u)}}
			var err error
			if theta, outer, _, err = aggregate.Merge(&spec, theta, outer, in); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(bits(theta), bits(wantT)) || !slices.Equal(bits(outer), bits(wantO)) {
				t.Fatal("other bits than the definition gives")
			}
		}
	})
}

// Reddi et al. 2021, algorithm 2, by hand: the first step from zero moments, and how Yogi's second moment differs later: it
// falls by (1-beta2) s, not to a share of itself.
func TestAdaptiveByHand(t *testing.T) {
	w := aggtest.New(nil)
	for name, last := range map[string]float64{"fedadam": 0.99*0.04 + 0.01*0.0001, "fedyogi": 0.04 - 0.01*0.0001} {
		spec := w.Spec
		spec.Outer = protocol.OuterSpec{Optimiser: name, LR: 0.1, Momentum: 0.9, Beta2: 0.99, Tau: 1e-3}
		theta, outer := []float32{1}, []float32{0, 0}
		step := func(u float32) {
			var err error
			in := []aggregate.Contribution{{Peer: w.Peers[0].ID(), Steps: 1, Payloads: dense(t, &spec, []float32{u})}}
			if theta, outer, _, err = aggregate.Merge(&spec, theta, outer, in); err != nil {
				t.Fatal(err)
			}
		}
		step(2) // m = 0.2, v = 0.04
		if want := 1 - 0.1*0.2/(0.2+1e-3); math.Abs(float64(theta[0])-want) > 1e-6 || math.Abs(float64(outer[1])-0.04) > 1e-6 {
			t.Errorf("%s: theta %v, want %v; moments %v", name, theta, want, outer)
		}
		if step(0.01); math.Abs(float64(outer[1])-last) > 1e-7 || math.Abs(float64(outer[0])-0.181) > 1e-6 {
			t.Errorf("%s: moments %v, want 0.181 and %v", name, outer, last)
		}
	}
}

// A moment that overflows is no result: the round carries the state over, as every merge that is not finite does.
func TestAdaptiveOverflow(t *testing.T) {
	w := aggtest.New(nil)
	spec := w.Spec
	spec.Outer = protocol.OuterSpec{Optimiser: "fedyogi", LR: 0.1, Momentum: 0.9, Beta2: 0.99, Tau: 1e-3}
	in := []aggregate.Contribution{{Peer: w.Peers[0].ID(), Steps: 1, Payloads: dense(t, &spec, []float32{1e30})}}
	theta, outer, record, err := aggregate.Merge(&spec, []float32{1}, []float32{0.5, 0.25}, in)
	if err != nil || theta[0] != 1 || !slices.Equal(outer, []float32{0.5, 0.25}) || record[0].Weight != 0 {
		t.Errorf("%v %v %v %v", theta, outer, record, err)
	}
	if _, _, _, err := aggregate.Merge(&spec, []float32{1}, []float32{0}, in); err == nil {
		t.Error("took a state of one vector")
	}
}

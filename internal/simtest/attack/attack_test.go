package attack

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sight is a round of 7 honest updates of 50 values around a common one, and training that answers with what it was asked.
func sight(round uint32, asked *[]Job) *Sight {
	r := rand.New(rand.NewPCG(uint64(round), 7))
	s := &Sight{Round: round, Theta: make([]float32, 50), Count: 3, Rand: r}
	for j := range s.Theta {
		s.Theta[j] = float32(round) + float32(j)/50
	}
	for range 7 {
		u := make([]float32, 50)
		for j := range u {
			u[j] = float32(math.Sin(float64(j))) + float32(r.NormFloat64())/4
		}
		s.Honest = append(s.Honest, u)
	}
	s.Train = func(job Job) ([][]float32, error) {
		*asked = append(*asked, job)
		return slices.Clone(s.Honest[:s.Count]), nil
	}
	return s
}

func dot(x, y []float32) (sum float64) {
	for j := range x {
		sum += float64(x[j]) * float64(y[j])
	}
	return sum
}

// What every attack is for: the property by which a reader knows it.
func TestAttacks(t *testing.T) {
	properties := map[string]func(s *Sight, lies [][]float32, asked []Job) bool{
		"zero-work":     func(_ *Sight, lies [][]float32, asked []Job) bool { return norm(lies[0]) == 0 && len(asked) == 0 },
		"skipped-steps": func(_ *Sight, _ [][]float32, asked []Job) bool { return len(asked) == 1 && asked[0].Steps == 1 },
		"wrong-data":    func(_ *Sight, _ [][]float32, asked []Job) bool { return asked[0].Data == Random },
		"label-flip":    func(_ *Sight, _ [][]float32, asked []Job) bool { return asked[0].Data == Flipped },
		"backdoor": func(s *Sight, lies [][]float32, asked []Job) bool {
			return asked[0].Data == Trapped && lies[0][3] == 2*s.Honest[0][3]
		},
		"stale-start": func(s *Sight, lies [][]float32, asked []Job) bool {
			return asked[0].Start[0] == s.Theta[0]-5 && math.Abs(float64(lies[0][0]-s.Honest[0][0])-5) < 1e-5
		},
		"copied-update": func(s *Sight, lies [][]float32, _ []Job) bool { return distance2(lies[1], s.Honest[0]) == 0 },
		// Each liar's own training of exactly five rounds ago; this round's is trained as assigned, for later.
		"delayed-gradient": func(s *Sight, lies [][]float32, asked []Job) bool {
			past := sight(s.Round-5, &asked).Honest
			for i, lie := range lies {
				if distance2(lie, past[i]) != 0 {
					return false
				}
			}
			return len(asked) == 1 && asked[0].Steps == 0 && asked[0].Start == nil && asked[0].Data == Assigned
		},
		"sign-flip":      func(s *Sight, lies [][]float32, _ []Job) bool { return lies[1][2] == -s.Honest[1][2] },
		"sign-flip-1000": func(s *Sight, lies [][]float32, _ []Job) bool { return lies[1][2] == -1000*s.Honest[1][2] },
		"constant-direction": func(s *Sight, lies [][]float32, _ []Job) bool {
			return distance2(lies[0], lies[2]) == 0 && math.Abs(norm(lies[0])/medianNorm(s.Honest)-2) < 1e-5
		},
		"gaussian": func(s *Sight, lies [][]float32, _ []Job) bool {
			return distance2(lies[0], lies[2]) > 0 && math.Abs(norm(lies[1])/medianNorm(s.Honest)-10) < 1e-4
		},
		"infinity": func(_ *Sight, lies [][]float32, _ []Job) bool { return math.IsInf(float64(lies[2][49]), 1) },
		"nan":      func(_ *Sight, lies [][]float32, _ []Job) bool { return lies[2][49] != lies[2][49] },
		// Within the honest spread of every coordinate, and off the mean.
		"alie": func(s *Sight, lies [][]float32, _ []Job) bool {
			mean, deviation := moments(s.Honest)
			z := (mean[5] - float64(lies[0][5])) / deviation[5]
			return z > 0.1 && z < 1.2
		},
		"inner-product": func(s *Sight, lies [][]float32, _ []Job) bool {
			return dot(lies[0], s.Honest[0]) < 0 && norm(lies[0]) < norm(s.Honest[0])
		},
		"min-max": func(s *Sight, lies [][]float32, _ []Job) bool { // nearly as far from someone as any two honest are
			bound, own := 0.0, 0.0
			for _, x := range s.Honest {
				own = max(own, distance2(lies[0], x))
				for _, y := range s.Honest {
					bound = max(bound, distance2(x, y))
				}
			}
			return own <= bound && own > 0.99*bound
		},
		"min-sum": func(s *Sight, lies [][]float32, _ []Job) bool {
			bound := 0.0
			for _, x := range s.Honest {
				bound = max(bound, distances(x, s.Honest))
			}
			own := distances(lies[0], s.Honest)
			return own <= bound && own > 0.99*bound
		},
		"mimic": func(s *Sight, lies [][]float32, _ []Job) bool {
			for _, x := range s.Honest {
				if distance2(x, lies[0]) == 0 {
					return distance2(lies[0], lies[2]) == 0
				}
			}
			return false
		},
		"clipping-reference": func(s *Sight, lies [][]float32, _ []Job) bool { // as far from the mean as half of the honest
			mean, _ := moments(s.Honest)
			at := plus(mean, 0, mean)
			d := math.Sqrt(distance2(lies[0], at))
			return math.Abs(d/radius(mean, s.Honest)-1) < 1e-5 && dot(lies[0], at) < dot(at, at)
		},
		// The mean, but for the coordinate where it is largest, which is moved backwards by the greatest honest distance.
		"single-coordinate": func(s *Sight, lies [][]float32, _ []Job) bool {
			mean, _ := moments(s.Honest)
			largest, bound := 0, 0.0
			for j, x := range mean {
				if math.Abs(x) > math.Abs(mean[largest]) {
					largest = j
				}
			}
			for _, x := range s.Honest {
				for _, y := range s.Honest {
					bound = max(bound, math.Sqrt(distance2(x, y)))
				}
			}
			for j, x := range mean {
				if j != largest && float32(x) != lies[0][j] {
					return false
				}
			}
			moved := (mean[largest] - float64(lies[0][largest])) * math.Copysign(1, mean[largest])
			return math.Abs(moved/bound-1) < 1e-5 && distance2(lies[0], lies[2]) == 0
		},
	}
	for _, a := range All {
		t.Run(a.Name, func(t *testing.T) {
			holds := properties[a.Name]
			if holds == nil || a.What == "" {
				t.Fatal("no property or no description")
			}
			lie := a.New()
			for round := range uint32(7) {
				var asked []Job
				s := sight(round, &asked)
				lies, err := lie(s)
				if err != nil {
					t.Fatal(err)
				}
				if len(lies) != s.Count || len(lies[0]) != len(s.Theta) {
					t.Fatalf("%d lies of %d values", len(lies), len(lies[0]))
				}
				if round == 6 && !holds(s, lies, asked) {
					t.Errorf("round %d: asked for %+v, sent %v", round, asked, lies[0][:5])
				}
			}
		})
	}
	if len(properties) != len(All) {
		t.Errorf("%d attacks, %d properties", len(All), len(properties))
	}
}

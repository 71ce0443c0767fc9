package robust

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var vectorRules = []string{MultiKrum, GeometricMedian, CenteredClip}

func anyParams(t *rapid.T, faults int) Params {
	return Params{
		Rule:    rapid.SampledFrom(vectorRules).Draw(t, "rule"),
		Faults:  faults,
		NormCap: rapid.SampledFrom([]float64{0, 1, 3}).Draw(t, "cap"),
		Radius:  rapid.SampledFrom([]float64{0.1, 1, 10}).Draw(t, "radius"),
		Mixing:  rapid.Bool().Draw(t, "mixing"),
	}
}

func krumFaults(n int) int { return max(0, (n-3)/2) }

// Blanchard et al. 2017, section 4: whom Krum chooses is about as near to the honest as they are to one another, wherever
// the liars stand. If a liar is among the n-f lowest scores an honest one is not, so its score, which holds at least two
// distances to honest vectors, is at most (n-f-2) (2r)^2.
func TestMultiKrumChoosesNearHonest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		n := len(c.rows)
		w := Weights(gramOf(c.rows), equalSteps(n), Params{Rule: MultiKrum, Faults: c.f})
		bound := 1 + math.Sqrt(2*float64(max(1, n-c.f-2))) + 1e-3
		chosen := 0
		for i, row := range c.rows {
			if w[i] == 0 {
				continue
			}
			chosen++
			own := make([]float64, len(row))
			for j, x := range row {
				own[j] = float64(x)
			}
			if d := apart(own, c.centre); d > bound {
				t.Fatalf("chose vector %d, %g away of at most %g", i, d, bound)
			}
		}
		if chosen != n-c.f {
			t.Fatalf("chose %d of %d with %d liars", chosen, n, c.f)
		}
	})
}

// Pillutla et al. 2022, section 3: with a share alpha < 1/2 of the weight in lies the geometric median is within
// 2(1-alpha)/(1-2alpha) radii of the honest centre.
func TestGeometricMedianBreaksDownAtHalf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		n := len(c.rows)
		w := Weights(gramOf(c.rows), equalSteps(n), Params{Rule: GeometricMedian, Faults: c.f})
		alpha := float64(c.f) / float64(n)
		if d, bound := apart(merged(c.rows, w), c.centre), 2*(1-alpha)/(1-2*alpha)+1e-2; d > bound {
			t.Fatalf("%g away of at most %g, with %d of %d liars", d, bound, c.f, n)
		}
	})
}

// Karimireddy et al. 2021, section 4: a vector moves the centre by no more than its share of the radius, so from a start
// near the honest the result stays near, however far the liars are.
func TestCenteredClipStaysNearItsStart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		n := len(c.rows)
		w := Weights(gramOf(c.rows), equalSteps(n), Params{Rule: CenteredClip, Faults: c.f, Radius: 1})
		start := 1 + math.Sqrt(2*float64(max(1, n-c.f-2)))
		if d, bound := apart(merged(c.rows, w), c.centre), start+clipSteps*(start+1); d > bound {
			t.Fatalf("%g away of at most %g, with %d of %d liars", d, bound, c.f, n)
		}
	})
}

// Liars a thousand radii away have next to no say in any rule, and all say in the mean: what the rules are for.
func TestFarLiarsHaveNoSay(t *testing.T) {
	for _, rule := range vectorRules {
		for _, mixing := range []bool{false, true} {
			rows := [][]float32{}
			for i := range 20 {
				rows = append(rows, []float32{float32(i%5) / 5, float32(i%7) / 7, 1})
				if i >= 12 {
					rows[i] = []float32{-1000, -1000, -1000}
				}
			}
			w := Weights(gramOf(rows), equalSteps(20), Params{Rule: rule, Faults: 8, NormCap: 3, Radius: 1, Mixing: mixing})
			if got := merged(rows, w); apart(got, []float32{0.4, 0.4, 1}) > 0.6 {
				t.Errorf("%s, mixing %v: %v", rule, mixing, got)
			}
			mean := Weights(gramOf(rows), equalSteps(20), Params{Rule: MultiKrum})
			if got := merged(rows, mean); apart(got, []float32{0.4, 0.4, 1}) < 100 {
				t.Errorf("the mean withstood: %v", got)
			}
		}
	}
}

// A permutation of the vectors permutes the weights: exactly where no rounding depends on the order, and for the rest to
// rounding.
func TestPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		n := len(c.rows)
		p := anyParams(t, c.f)
		p.Mixing = false // it makes equal vectors, of which the first are chosen: see TestMixingPermutes
		steps := make([]uint32, n)
		for i := range steps {
			steps[i] = rapid.Uint32Range(1, 30).Draw(t, "steps")
		}
		order := rapid.Permutation(identity(n)).Draw(t, "order")
		rows, shuffled := make([][]float32, n), make([]uint32, n)
		for i, from := range order {
			rows[i], shuffled[i] = c.rows[from], steps[from]
		}
		w, v := Weights(gramOf(c.rows), steps, p), Weights(gramOf(rows), shuffled, p)
		x, y := merged(c.rows, w), merged(rows, v)
		if distinct(c.rows) && !close(x, y) {
			t.Fatalf("%v, and %v when permuted by %v", x, y, order)
		}
		if distinct(c.rows) && p.Rule == MultiKrum {
			for i, from := range order {
				if v[i] != w[from] {
					t.Fatalf("weight %v of vector %d became %v", w[from], from, v[i])
				}
			}
		}
	})
}

func identity(n int) []int {
	x := make([]int, n)
	for i := range x {
		x[i] = i
	}
	return x
}

// distinct says that no two vectors are equal: of equal ones the first counts, which a permutation changes if their steps
// differ.
func distinct(rows [][]float32) bool {
	for i := range rows {
		for j := range i {
			if slices.Equal(rows[i], rows[j]) {
				return false
			}
		}
	}
	return true
}

func close(x, y []float64) bool {
	var scale, off float64
	for j := range x {
		scale = max(scale, math.Abs(x[j]), math.Abs(y[j]))
		off = max(off, math.Abs(x[j]-y[j]))
	}
	return off <= 1e-6*scale
}

// Scaling every vector by a power of two, which rounds nothing, changes no weight.
func TestScale(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := aCrowd(t, krumFaults)
		p := anyParams(t, c.f)
		by := float32(math.Ldexp(1, rapid.IntRange(-20, 20).Draw(t, "exponent")))
		scaled := make([][]float32, len(c.rows))
		for i, row := range c.rows {
			for _, x := range row {
				scaled[i] = append(scaled[i], x*by)
			}
		}
		steps := equalSteps(len(c.rows))
		if w, v := Weights(gramOf(c.rows), steps, p), Weights(gramOf(scaled), steps, p); !slices.Equal(w, v) {
			t.Fatalf("weights %v, times %g %v", w, by, v)
		}
	})
}

// Moving every vector by the same amount moves the merge by it: rules that see only distances change no weight. The values
// are integers, so that nothing is rounded before the division by distances. The norm cap is not such a rule.
func TestTranslation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, dim := rapid.IntRange(1, 12).Draw(t, "n"), 6
		var rows, moved [][]float32
		for range n {
			var x, y []float32
			for j := range dim {
				v := float32(rapid.IntRange(-50, 50).Draw(t, "value"))
				x, y = append(x, v), append(y, v+float32(100*(j+1)))
			}
			rows, moved = append(rows, x), append(moved, y)
		}
		p := anyParams(t, krumFaults(n))
		p.NormCap = 0
		w, v := Weights(gramOf(rows), equalSteps(n), p), Weights(gramOf(moved), equalSteps(n), p)
		x, y := merged(rows, w), merged(moved, v)
		for j := range y {
			y[j] -= float64(100 * (j + 1))
		}
		if p.Rule == GeometricMedian && p.Mixing {
			return // its smoothing follows the norms of mixed vectors, which a shift changes
		}
		for j := range x {
			if math.Abs(x[j]-y[j]) > 1e-2 {
				t.Fatalf("%+v: %v, moved %v", p, x, y)
			}
		}
	})
}

// Copies of one vector are that vector, whatever the rule.
func TestDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 20).Draw(t, "n")
		row := []float32{3, -2, 0.5}
		rows := slices.Repeat([][]float32{row}, n)
		w := Weights(gramOf(rows), equalSteps(n), anyParams(t, krumFaults(n)))
		if got := merged(rows, w); apart(got, row) > 1e-9 {
			t.Fatalf("%v", got)
		}
	})
}

// Without liars and far from any clipping the rules are near the mean of equal contributions, and steps weigh.
func TestStepsWeigh(t *testing.T) {
	rows := [][]float32{{1, 0}, {1, 0.001}, {1, -0.001}, {1, 0.002}}
	for _, rule := range vectorRules {
		w := Weights(gramOf(rows), []uint32{30, 10, 10, 10}, Params{Rule: rule, Radius: 100})
		if rule != GeometricMedian && math.Abs(w[0]-0.5) > 1e-9 {
			t.Errorf("%s: half of the steps weigh %v", rule, w[0])
		}
		if got := merged(rows, w); apart(got, []float32{1, 0.0005}) > 0.002 {
			t.Errorf("%s: %v", rule, got)
		}
	}
}

// One dispersed crowd by hand: of five on a line with one far away and one liar expected, Krum takes the four, and the
// geometric median of points on a line is their median.
func TestByHand(t *testing.T) {
	rows := [][]float32{{1}, {2}, {3}, {4}, {1000}}
	if w := Weights(gramOf(rows), equalSteps(5), Params{Rule: MultiKrum, Faults: 1}); !slices.Equal(w, []float64{0.25, 0.25, 0.25, 0.25, 0}) {
		t.Errorf("multi-krum: %v", w)
	}
	w := Weights(gramOf(rows), equalSteps(5), Params{Rule: GeometricMedian, Faults: 1})
	if got := merged(rows, w); math.Abs(got[0]-3) > 0.05 {
		t.Errorf("geometric median %v, want 3", got)
	}
	// The start is 2.5, distances 1.5, 0.5, 0.5, 1.5, 997.5, so the radius is 1.5: the centre gains 1.5/5 at first.
	w = Weights(gramOf(rows), equalSteps(5), Params{Rule: CenteredClip, Faults: 1, Radius: 1})
	v := 2.5
	for range clipSteps {
		sum := 0.0
		for _, r := range rows {
			sum += max(-1.5, min(1.5, float64(r[0])-v))
		}
		v += sum / 5
	}
	if got := merged(rows, w); math.Abs(got[0]-v) > 1e-9 {
		t.Errorf("centered clipping %v, want %v", got, v)
	}
}

func TestTolerated(t *testing.T) {
	for n, want := range []int{0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 3} {
		if got := Tolerated(n, 99); got != want {
			t.Errorf("of %d contributors %d may lie, want %d", n, got, want)
		}
	}
	if Tolerated(20, 8) != 8 || Tolerated(20, 0) != 0 {
		t.Error("20 contributors")
	}
}

// checkWeights holds what every merge relies on.
func checkWeights(t interface{ Fatalf(string, ...any) }, w []float64) {
	var sum float64
	for i, x := range w {
		if !(x >= 0) || math.IsInf(x, 0) {
			t.Fatalf("weight %d is %v", i, x)
		}
		sum += x
	}
	if sum > 1+1e-9 {
		t.Fatalf("weights sum to %v", sum)
	}
}

// Weights are finite and a part of 1 for any finite vectors, the longest and the shortest that float32 has among them.
func FuzzWeights(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3f, 0, 0, 0x80, 0xff, 1, 0, 0, 0}, uint8(3), uint8(1))
	f.Add([]byte{0xff, 0xff, 0x7f, 0x7f, 0xff, 0xff, 0x7f, 0xff, 1, 0, 0, 0x80, 0, 0, 0, 0}, uint8(4), uint8(17))
	f.Fuzz(func(t *testing.T, data []byte, n, choice uint8) {
		rows := make([][]float32, n%32+1)
		steps := make([]uint32, len(rows))
		dim := min(len(data)/4/len(rows)+1, 64)
		for i := range rows {
			rows[i], steps[i] = make([]float32, dim), uint32(choice)*uint32(i)+1
			for j := range dim {
				if len(data) < 4 {
					break
				}
				x := math.Float32frombits(binary.LittleEndian.Uint32(data))
				if data = data[4:]; x-x == 0 {
					rows[i][j] = x
				}
			}
		}
		for _, rule := range vectorRules {
			p := Params{Rule: rule, Faults: int(choice % 7), NormCap: float64(choice % 4), Radius: 1, Mixing: choice&16 != 0}
			checkWeights(t, Weights(gramOf(rows), steps, p))
		}
	})
}

// The same weights on every machine: a digest over all rules, whose bits no compiler or processor may change.
func TestGolden(t *testing.T) {
	h := sha256.New()
	seed := uint64(1)
	for _, n := range []int{1, 2, 5, 20, 64} {
		rows, steps := make([][]float32, n), make([]uint32, n)
		for i := range rows {
			rows[i], steps[i] = make([]float32, 5000), uint32(i%7)+1
			for j := range rows[i] {
				seed = seed*6364136223846793005 + 1442695040888963407
				rows[i][j] = float32(int32(seed>>32)) * 0x1p-31 * float32(1+i*i%5)
			}
		}
		g := gramOf(rows)
		for _, rule := range vectorRules {
			for _, mixing := range []bool{false, true} {
				for _, w := range Weights(g, steps, Params{Rule: rule, Faults: n / 3, NormCap: 1.5, Radius: 0.7, Mixing: mixing}) {
					h.Write(binary.LittleEndian.AppendUint64(nil, math.Float64bits(w)))
				}
			}
		}
	}
	const want = "979c7112b18efcae8116d2e41a50d944fc8ccf2f8d43694c3d3ab418d9eae03e"
	if got := hex.EncodeToString(h.Sum(nil)); got != want {
		t.Errorf("digest %s, want %s", got, want)
	}
}

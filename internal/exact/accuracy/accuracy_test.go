package accuracy

import (
	"fmt"
	"testing"

	"drystone/internal/exact"
)

// longSums are the outputs that fold hundreds of terms or more, whose roundings
// add up; all others have a few roundings an element.
var longSums = map[string]bool{
	"Gemm/c": true, "RMSNorm/dgain": true, "LayerNorm/dgain": true, "LayerNorm/dbias": true, "AddBias/dbias": true,
	"Attention/y": true, "Attention/dq": true, "Attention/dk": true, "Attention/dv": true, "Conv/y": true, "Conv/dweights": true,
}

// Every output is as near to float64 as its roundings explain. -v prints the
// table; since all paths give the same bits, the fastest one stands for all.
func TestAccuracy(t *testing.T) {
	paths := exact.Paths()
	e, err := exact.NewPath(1, paths[len(paths)-1])
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	t.Logf("%-14s %-9s %8s %8s %8s   ulp: largest error of an element, in its last place, where below 100; max, rms: in 2^-24",
		"kernel", "output", "max", "rms", "ulp")
	for _, c := range Cases() {
		for _, r := range c.Measure(e) {
			ulp := "" // elements that are sums may cancel
			if r.ULP < 100 {
				ulp = fmt.Sprintf("%8.2f", r.ULP)
			}
			t.Logf("%-14s %-9s %8.3f %8.3f %8s", r.Kernel, r.Output, r.Max, r.RMS, ulp)
			most, rms := 4.0, 2.5
			if longSums[r.Kernel+"/"+r.Output] {
				most, rms = 20, 12
			}
			if !(r.Max <= most) || !(r.RMS <= rms) {
				t.Errorf("%s %s: error %.3f, rms %.3f, want at most %v and %v", r.Kernel, r.Output, r.Max, r.RMS, most, rms)
			}
		}
	}
}

// A case is the same in every call, and a wrong result is seen.
func TestCasesArePinned(t *testing.T) {
	a, b := Cases(), Cases()
	for i, c := range a {
		outputs := c.Want()
		if len(outputs) != len(c.Outputs) {
			t.Fatalf("%s: %d outputs, %d names", c.Kernel, len(outputs), len(c.Outputs))
		}
		for j, in := range c.Inputs {
			n := 1
			for _, d := range in.Shape {
				n *= d
			}
			if n != len(in.Data) {
				t.Errorf("%s %s: %d elements of shape %v", c.Kernel, in.Name, len(in.Data), in.Shape)
			}
			for k, v := range in.Data {
				if v != b[i].Inputs[j].Data[k] {
					t.Fatalf("%s %s: element %d differs between calls", c.Kernel, in.Name, k)
				}
			}
		}
		got := make([][]float32, len(outputs))
		for j, want := range outputs {
			got[j] = make([]float32, len(want))
			for k, v := range want {
				got[j][k] = float32(v) * (1 + 0x1p-15)
			}
		}
		for _, r := range c.Compare(got) {
			if r.RMS < 400 {
				t.Errorf("%s %s: an error of 2^-15 counts as %.3f", c.Kernel, r.Output, r.RMS)
			}
		}
	}
}

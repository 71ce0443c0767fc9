package exact

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

// Every path passes; with -update the digests are those of the reference.
func TestSelfCheck(t *testing.T) {
	if *update {
		e, err := NewPath(1, PathRef)
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		var b strings.Builder
		for _, c := range checks {
			x := c.prepare(e)
			x.run()
			fmt.Fprintln(&b, c.name, digestBits(x.out))
		}
		if err := os.WriteFile("selfcheck.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		selfcheckText = b.String()
	}
	for _, path := range Paths() {
		e, err := NewPath(2, path)
		if err != nil {
			t.Fatal(err)
		}
		if err := SelfCheck(e, 2); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		e.Close()
	}
}

// faulty flips one bit of one result of each kernel that is named, at the given call of it.
type faulty struct {
	*Engine
	kernel string
	at     int
	calls  int
}

func (f *faulty) flip(kernel string, y []float32) {
	if kernel == f.kernel {
		if f.calls++; f.calls == f.at {
			y[len(y)/2] = -y[len(y)/2]
		}
	}
}

func (f *faulty) Gemm(ta, tb bool, m, n, k int, a []float32, lda int, b []float32, ldb int, c []float32, ldc int, accumulate bool) {
	f.Engine.Gemm(ta, tb, m, n, k, a, lda, b, ldb, c, ldc, accumulate)
	f.flip("gemm", c)
}

func (f *faulty) AdamWStep(p, g, m, v []float32, h AdamWParams) {
	f.Engine.AdamWStep(p, g, m, v, h)
	f.flip("adamw", p)
}

func (f *faulty) AttentionBackward(dq, dk, dv, do, q, k, v, o, rowMax, rowSum []float32, batch, seq, heads, kvHeads, headDim int) {
	f.Engine.AttentionBackward(dq, dk, dv, do, q, k, v, o, rowMax, rowSum, batch, seq, heads, kvHeads, headDim)
	f.flip("attention", dk)
}

func (f *faulty) Mean(y, x []float32) {
	f.Engine.Mean(y, x)
	f.flip("loss", y[:1])
}

func (f *faulty) Im2Col(col, x []float32, s ConvShape) {
	f.Engine.Im2Col(col, x, s)
	f.flip("images", col)
}

// lost fails like a card that does.
type lost struct{ *Engine }

var errLost = &DeviceError{errors.New("fell off the bus")}

func (lost) Wait() error            { return errLost }
func (lost) Floats(n int) []float32 { return make([]float32, n) }

// full has no memory.
type full struct{ *Engine }

func (full) Floats(int) []float32 { panic(errLost) }

// A wrong bit in one result of one call is told, with the name of what was wrong; a device that fails is told apart.
func TestSelfCheckFindsFaults(t *testing.T) {
	e, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, c := range []struct {
		kernel string
		at     int
	}{{"gemm", 1}, {"gemm", 3}, {"gemm", 4 + 2}, {"adamw", 3}, {"attention", 1}, {"loss", 2}, {"images", 1}} {
		f := &faulty{Engine: e, kernel: c.kernel, at: c.at}
		if err := SelfCheck(f, 3); !errors.Is(err, ErrWrong) || !strings.Contains(err.Error(), c.kernel) {
			t.Errorf("call %d of %s is wrong: %v", c.at, c.kernel, err)
		}
	}
	if err := SelfCheck(&faulty{Engine: e, kernel: "gemm", at: 5}, 1); err != nil {
		t.Errorf("no call was wrong: %v", err)
	}
	for _, k := range []Kernels{lost{e}, full{e}} {
		if err := SelfCheck(k, 1); !errors.Is(err, errLost) || errors.Is(err, ErrWrong) {
			t.Errorf("%T: %v", k, err)
		}
	}
}

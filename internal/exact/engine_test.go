package exact

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

func TestNewErrors(t *testing.T) {
	for _, n := range []int{0, -1, MaxThreads + 1} {
		if _, err := NewPath(n, PathRef); err == nil {
			t.Errorf("%d threads: no error", n)
		}
	}
	_, err := NewPath(1, "sse9")
	if !errors.Is(err, ErrPath) || !strings.Contains(err.Error(), "sse9") {
		t.Errorf("unknown path: %v", err)
	}
	t.Setenv(EnvPath, "neon9")
	if _, err := New(1); !errors.Is(err, ErrPath) || !strings.Contains(err.Error(), EnvPath) {
		t.Errorf("unknown path from the environment: %v", err)
	}
}

func TestNewHonoursEnvironment(t *testing.T) {
	for _, path := range Paths() {
		t.Setenv(EnvPath, path)
		e, err := New(2)
		if err != nil {
			t.Fatal(err)
		}
		if e.Path() != path || e.Threads() != 2 {
			t.Errorf("%s: got %s with %d threads", path, e.Path(), e.Threads())
		}
		e.Close()
		e.Close()
	}
}

// Close stops every worker.
func TestCloseStopsWorkers(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 10 {
		e := mustEngine(t, 8, PathRef)
		e.Sum(make([]float32, 100_000))
		e.Close()
	}
	// Close waits for the workers, which may still be in their last instructions.
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

// A wrong shape panics with *ShapeError in the caller's goroutine before anything
// is written, and the engine stays usable.
func TestShapeErrors(t *testing.T) {
	f := func(n int) []float32 { return make([]float32, n) }
	for _, path := range Paths() {
		e := mustEngine(t, 3, path)
		defer e.Close()
		for name, call := range map[string]func(){
			"Gemm a":       func() { e.Gemm(false, false, 4, 4, 4, f(15), 4, f(16), 4, f(16), 4, false) },
			"Gemm stride":  func() { e.Gemm(false, false, 4, 4, 4, f(16), 3, f(16), 4, f(16), 4, false) },
			"Gemm n":       func() { e.Gemm(false, false, 4, -4, 4, f(16), 4, f(16), 4, f(16), 4, false) },
			"RMSNorm":      func() { e.RMSNorm(f(8), f(8), f(3), nil, 2, 4, 1e-5) },
			"SwiGLU":       func() { e.SwiGLU(f(8), f(8), f(7)) },
			"Rope odd":     func() { e.Rope(f(9), f(9), f(9), f(9), 1, 3, 1, 3, false) },
			"Attention":    func() { e.Attention(f(8), f(8), f(8), f(8), f(4), f(4), 1, 2, 3, 2, 1) },
			"CrossEntropy": func() { e.CrossEntropy(f(8), []int32{1, 4}, 2, 4, f(2), nil) },
			"Gather":       func() { e.Gather(f(8), f(8), []int32{0, -1}, 4) },
			"ScatterAdd":   func() { e.ScatterAdd(f(8), f(8), []int32{0, 2}, 2, 4) },
			"AdamW":        func() { e.AdamWStep(f(4), f(4), f(4), f(4), AdamWParams{}) },
			"RopeTable":    func() { RopeTable(3, 5, 10000) },
			"LayerNorm":    func() { e.LayerNorm(f(8), f(8), f(4), f(3), nil, nil, 2, 4, 1e-5) },
			"LayerNorm b":  func() { e.LayerNormBackward(f(8), f(4), f(4), f(8), f(8), f(4), f(1), f(2), 2, 4, false) },
			"AddBias":      func() { e.AddBias(f(8), f(8), f(3), 2, 4) },
			"BiasBackward": func() { e.BiasBackward(f(4), f(7), 2, 4, false) },
			"GELU":         func() { e.GELU(f(8), f(7)) },
			"ReLU b":       func() { e.ReLUBackward(f(8), f(8), f(7)) },
			"Im2Col":       func() { e.Im2Col(f(35), f(9), ConvShape{1, 3, 3, 1, 3, 3, 1, 1}) },
			"Im2Col pad":   func() { e.Im2Col(f(999), f(9), ConvShape{1, 3, 3, 1, 3, 3, 1, 3}) },
			"Col2Im":       func() { e.Col2Im(f(8), f(81), ConvShape{1, 3, 3, 1, 3, 3, 1, 1}) },
			"MaxPool":      func() { e.MaxPool(f(4), make([]int32, 3), f(9), ConvShape{1, 3, 3, 1, 2, 2, 1, 0}) },
			"MaxPool b":    func() { e.MaxPoolBackward(f(4), f(1), []int32{4}, ConvShape{1, 2, 2, 1, 2, 2, 1, 0}) },
			"AvgPool":      func() { e.AvgPool(f(4), f(8), ConvShape{1, 3, 3, 1, 2, 2, 1, 0}) },
			"SquaredError": func() { e.SquaredError(f(8), f(8), 2, 4, f(2), nil, 0) },
			"ArgMaxRows":   func() { e.ArgMaxRows(make([]int32, 2), f(7), 2, 4) },
		} {
			func() {
				defer func() {
					if _, ok := recover().(*ShapeError); !ok {
						t.Errorf("%s: %s: no ShapeError", path, name)
					}
				}()
				call()
			}()
		}
		if e.Sum([]float32{1, 2}) != 3 {
			t.Errorf("%s: engine is broken after panics", path)
		}
	}
}

// A panic in a worker reaches the caller and leaves the pool usable.
func TestWorkerPanicReachesCaller(t *testing.T) {
	e := mustEngine(t, 4, PathRef)
	defer e.Close()
	for range 20 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			e.pool.run(e, 64, func(_ *Engine, _, i int) {
				if i == 33 {
					panic("piece 33")
				}
			})
		}()
	}
	if e.Sum(make([]float32, 1<<16)) != 0 {
		t.Error("pool is broken")
	}
}

// Kernels allocate nothing in steady state.
func TestNoAllocations(t *testing.T) {
	for _, path := range Paths()[1:] {
		for _, threads := range []int{1, 2} {
			e := mustEngine(t, threads, path)
			defer e.Close()
			s := newStepModel(1)
			// Which worker gets which piece is chance, so scratch memory has reached
			// its size on all workers only after some steps.
			n := 1.0
			for try := 0; n > 0 && try < 30; try++ {
				n = testing.AllocsPerRun(1, func() { s.step(e) })
			}
			if n > 0 {
				t.Errorf("%s, %d threads: %v allocations in a step", path, threads, n)
			}
		}
	}
}

func TestNoAllocationsInKernels(t *testing.T) {
	s := ConvShape{Batch: 2, Height: 8, Width: 8, Channels: 16, KernelH: 3, KernelW: 3, Stride: 1, Pad: 1}
	x, y, col := make([]float32, s.inputs()), make([]float32, s.inputs()), make([]float32, s.Rows()*s.Cols())
	index, stat, gain, sum := make([]int32, s.pooled()), make([]float32, s.Rows()), make([]float32, 16), make([]float32, 16)
	for _, path := range Paths()[1:] {
		e := mustEngine(t, 1, path)
		defer e.Close()
		if n := testing.AllocsPerRun(3, func() {
			e.LayerNorm(y, x, gain, gain, stat, stat, s.Rows(), 16, 1e-5)
			e.LayerNormBackward(y, gain, sum, x, x, gain, stat, stat, s.Rows(), 16, true)
			e.AddBias(y, x, gain, s.Rows(), 16)
			e.BiasBackward(sum, y, s.Rows(), 16, false)
			e.GELU(y, x)
			e.GELUBackward(y, y, x)
			e.ReLU(y, x)
			e.ReLUBackward(y, y, x)
			e.Im2Col(col, x, s)
			e.Col2Im(y, col, s)
			e.MaxPool(y, index, x, s)
			e.MaxPoolBackward(y, x, index, s)
			e.AvgPool(y, x, s)
			e.AvgPoolBackward(y, x, s)
			e.SquaredError(y, x, s.Rows(), 16, stat, y, 7)
			e.ArgMaxRows(index, x, s.Rows(), 16)
		}); n > 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

// The committed kernels are what the generator emits.
func TestGeneratedKernels(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the generator")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	for source, arch := range map[string]string{"./asm": "amd64", "./asm/neon": "arm64"} {
		dir := t.TempDir()
		asm, stubs := filepath.Join(dir, "k.s"), filepath.Join(dir, "k.go")
		cmd := exec.Command(goTool, "run", source, "-out", asm, "-stubs", stubs, "-pkg", "exact")
		cmd.Env = append(os.Environ(), "GOOS=", "GOARCH=") // of the machine, which may be emulating another
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("generator: %v\n%s", err, out)
		}
		for generated, committed := range map[string]string{asm: "kernels_" + arch + ".s", stubs: "kernels_" + arch + ".go"} {
			if afterFirstLine(t, generated) != afterFirstLine(t, committed) {
				t.Errorf("%s is not what the generator emits: run go generate", committed)
			}
		}
	}
}

// afterFirstLine drops the line that names the command.
func afterFirstLine(t *testing.T, name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	return rest
}

// Go fuses x*y+z on these targets unless the product is converted: the compiled
// package must hold no fused multiply-add.
func TestNoFusing(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package for other machines")
	}
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("no go command")
	}
	fused := regexp.MustCompile(`\s(VFN?M(ADD|SUB)[0-9]*S[SD]|FN?M(ADD|SUB)[SD]?|FN?MSUB[SD]?|WFMA[SD]B|FMADDS?)\s`)
	for _, target := range []string{"GOARCH=arm64", "GOARCH=riscv64", "GOARCH=ppc64le", "GOARCH=s390x", "GOARCH=amd64 GOAMD64=v3"} {
		cmd := exec.Command(goTool, "build", "-gcflags=-S", ".")
		cmd.Env = append(os.Environ(), append([]string{"CGO_ENABLED=0", "GOOS=linux"}, strings.Fields(target)...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", target, err, out)
		}
		if !strings.Contains(string(out), "FMA32") {
			t.Fatalf("%s: no listing", target)
		}
		if m := fused.FindString(string(out)); m != "" {
			t.Errorf("%s: the compiler fused: %s", target, m)
		}
	}
}

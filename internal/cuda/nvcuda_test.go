package cuda

import (
	"errors"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"drystone/internal/exact"
)

const newCard = "GPU-10111213-1415-1617-1819-1a1b1c1d1e1f"

// buildDriver compiles the stand-in for NVIDIA's driver with the given definitions.
func buildDriver(t *testing.T, define ...string) []string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the library for this test is built on Linux alone")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("skipped: there is no C compiler here to build a library with")
	}
	source, err := filepath.Abs("testdata/cuda.c")
	if err != nil {
		t.Fatal(err)
	}
	so := filepath.Join(t.TempDir(), "cuda.so")
	if out, err := exec.Command(cc, slices.Concat(define, []string{"-shared", "-fPIC", "-o", so, source})...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return []string{so}
}

// The driver's C interface is called as NVIDIA's header has it: a kernel gets its arguments, whatever thread it is started from.
func TestDriver(t *testing.T) {
	d, err := openDriver(buildDriver(t), newCard, kernelText)
	if err != nil {
		t.Fatal(err)
	}
	if d.Info() != (info{"New card", 84}) {
		t.Errorf("%+v", d.Info())
	}
	c, err := on(d, Options{Label: "cuda:1", Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	x, y, z := c.Floats(600), c.Floats(600), c.Floats(600)
	for i := range x {
		x[i] = float32(i)
	}
	done := make(chan struct{})
	go func() { // on another thread of the system
		runtime.LockOSThread()
		defer close(done)
		c.Scale(y, x, 0.5)
		c.Copy(z, y)
	}()
	<-done
	if err := c.Wait(); err != nil {
		t.Fatal(err)
	}
	if y[0] != 0 || y[599] != 299.5 || z[599] != 299.5 || x[599] != 599 {
		t.Errorf("%v %v %v", y[599], z[599], x[599])
	}
	if err := exact.Attempt(func() error { c.Floats(1 << 20); return nil }); !errors.Is(err, ErrMemory) || !strings.Contains(err.Error(), "--max-vram") {
		t.Errorf("above the limit: %v", err)
	}
	c.Floats(1000) // and below it again
	c.Close()
	c.Close()
}

// What goes wrong is one clear error.
func TestDriverErrors(t *testing.T) {
	fail := func(name, code string) []string { return []string{"-DFAIL=" + name, "-DCODE=" + code} }
	for _, c := range []struct {
		define     []string
		uuid, text string
		want       error
	}{
		{nil, "GPU-00010203-0405-0607-0809-0a0b0c0d0e0f", "Old card", ErrUnsuitable},
		{nil, "", "Old card", ErrUnsuitable},
		{nil, "GPU-none", "CUDA_VISIBLE_DEVICES", ErrNoCard},
		{[]string{"-DVERSION=7050"}, newCard, "it is for CUDA 7.5, CUDA 8.0 or newer is needed", ErrOldDriver},
		{fail("cuInit", "100"), newCard, "NO_DEVICE", ErrNoCard},
		{fail("cuInit", "803"), newCard, "restart the machine", ErrOldDriver},
		{fail("cuInit", "34"), newCard, "STUB", ErrNoDriver},
		{fail("cuModuleLoadData", "222"), newCard, "UNSUPPORTED_PTX", ErrOldDriver},
		{fail("cuDevicePrimaryCtxRetain", "2"), newCard, "out of memory", ErrMemory},
		{fail("cuDevicePrimaryCtxRetain", "46"), newCard, "fell off the bus", ErrLost},
	} {
		d, err := openDriver(buildDriver(t, c.define...), c.uuid, kernelText)
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") || d != nil {
			t.Errorf("%v %s: %v, want %v with %q", c.define, c.uuid, err, c.want, c.text)
		}
	}
	if _, err := openDriver(buildDriver(t), newCard, "nonsense"); !errors.Is(err, ErrOldDriver) {
		t.Errorf("kernels that do not compile: %v", err)
	}
	for _, c := range []struct {
		name, code string
		want       error
	}{{"cuLaunchKernel", "719", ErrFailed}, {"cuStreamSynchronize", "214", ErrFaulty}, {"cuStreamSynchronize", "999", ErrLost}, {"cuMemAllocManaged", "2", ErrMemory}} {
		d, err := openDriver(buildDriver(t, fail(c.name, c.code)...), newCard, kernelText)
		if err != nil {
			t.Fatal(err)
		}
		card, err := on(d, Options{})
		if err != nil {
			t.Fatal(err)
		}
		err = exact.Attempt(func() error {
			x := card.Floats(600)
			card.Scale(x, x, 2)
			return card.Wait()
		})
		var device *exact.DeviceError
		if !errors.Is(err, c.want) || !errors.As(err, &device) {
			t.Errorf("%s returns %s: %v, want %v", c.name, c.code, err, c.want)
		}
		card.Close()
	}
}

// A card of this machine, if there is one, passes the self-check and every trial.
func TestThisMachine(t *testing.T) {
	c, err := Open(Options{Label: "cuda:0"})
	if errors.Is(err, ErrNoDriver) || errors.Is(err, ErrNoCard) {
		t.Skip("skipped: no NVIDIA card here (" + err.Error() + "); the kernels are not yet measured on one")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Log(c.Name())
	if err := exact.SelfCheck(c, 50); err != nil {
		t.Error(err)
	}
	ref, err := exact.New(1)
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	for name, run := range trials {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(1000) {
				compare(t, c, ref, seed, run)
				c.Forget()
			}
		})
	}
}

// Operands that are too short, or not the card's, are found before a kernel starts.
func TestOperandsAreChecked(t *testing.T) {
	c, sim := simCard(t)
	x, short := c.Floats(100), c.Floats(10)
	for name, f := range map[string]func(){
		"short":     func() { c.Add(x, x, short) },
		"host":      func() { c.Add(x, x, make([]float32, 100)) },
		"past":      func() { c.Gemm(false, false, 10, 10, 11, x, 11, x, 10, x, 10, false) },
		"stride":    func() { c.Gemm(false, false, 2, 2, 2, x, 1, x, 2, x, 2, false) },
		"sequence":  func() { c.Attention(nil, nil, nil, nil, nil, nil, 1, maxSeq+1, 1, 1, 8) },
		"negative":  func() { c.RMSNorm(x, x, x, x, -1, 10, 1) },
		"after end": func() { c.Copy(x, x[:50]) },
	} {
		err := func() (err error) {
			defer func() { err, _ = recover().(error) }()
			f()
			return nil
		}()
		var shape *exact.ShapeError
		if !errors.As(err, &shape) {
			t.Errorf("%s: %v, want a ShapeError", name, err)
		}
	}
	if len(sim.ran) != 0 {
		t.Errorf("kernels ran: %v", sim.ran)
	}
}

package dynlib

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"
)

func TestNotFound(t *testing.T) {
	if _, err := Open("libno-such-library-of-drystone.so.9"); !errors.Is(err, ErrNotFound) {
		t.Fatalf("%v, want ErrNotFound", err)
	}
}

// Integers, pointers to Go memory and as many arguments as cuLaunchKernel has go in and out unharmed.
func TestCall(t *testing.T) {
	l, err := Open(build(t, `
		unsigned sum(unsigned *out, unsigned long long *wide, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e, unsigned f, unsigned g, void *p, void **q) {
			*out = a + 10*b + 100*c + 1000*d + 10000*e + 100000*f + 1000000*g;
			*wide = 0x123456789abcdefULL;
			return p == 0 && q != 0 ? 7 : 8;
		}`))
	if err != nil {
		t.Fatal(err)
	}
	if l.Find("missing") != 0 {
		t.Error("found a function that is not there")
	}
	var out uint32
	var wide uint64
	q := make([]unsafe.Pointer, 1)
	r := Call(l.Find("sum"), uintptr(unsafe.Pointer(&out)), uintptr(unsafe.Pointer(&wide)), 1, 2, 3, 4, 5, 6, 7, 0, uintptr(unsafe.Pointer(&q[0])))
	if uint32(r) != 7 || out != 7654321 || wide != 0x123456789abcdef {
		t.Errorf("result %d, sum %d, wide %x", r, out, wide)
	}
}

// build compiles a library, or skips the test where there is no compiler.
func build(t *testing.T, source string) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: libraries for this test are built on Linux alone")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("skipped: there is no C compiler here to build a library with")
	}
	dir := t.TempDir()
	c, so := filepath.Join(dir, "lib.c"), filepath.Join(dir, "lib.so")
	if err := os.WriteFile(c, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", so, c).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return so
}

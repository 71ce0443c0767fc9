package gpu

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"testing"
)

// A C library with NVML's functions is opened and called as nvml.dll and libnvidia-ml.so.1 are.
func TestSharedLibrary(t *testing.T) {
	lib, err := loadShared(buildNVML(t))
	if err != nil {
		t.Fatal(err)
	}
	m, err := open(lib)
	if err != nil || m.Driver() != "550.90.07" {
		t.Fatal(m, err)
	}
	defer m.Close()
	cards, err := m.Cards()
	if err != nil || len(cards) != 2 {
		t.Fatal(cards, err)
	}
	want := Card{Index: 1, UUID: "GPU-1", Name: "NVIDIA Stand-in", Memory: 8 << 30, Used: 2 << 30, Busy: 12, Celsius: 61, Watts: 120.25, PowerLimit: -1,
		Clock: 1500, MemoryClock: 7000, Throttle: ThrottleHeat}
	for i := range 70 { // more than the first buffer holds
		want.Processes = append(want.Processes, Process{PID: 1000 + i, Memory: int64(i) << 20, Compute: true})
	}
	want.Processes[3].Busy = 44
	want.Processes = append(want.Processes, Process{PID: 5, Memory: -1})
	if got := cards[1]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if !errors.Is(cards[0].Err, ErrLost) {
		t.Errorf("card 0: %v, want ErrLost", cards[0].Err)
	}
}

func TestNoLibrary(t *testing.T) {
	if _, err := loadShared("libno-such-driver.so.1"); !errors.Is(err, ErrNoDriver) {
		t.Errorf("%v, want ErrNoDriver", err)
	}
}

func buildNVML(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the library for this test is built on Linux alone")
	}
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("skipped: there is no C compiler here to build a library with")
	}
	so := filepath.Join(t.TempDir(), "nvml.so")
	source, err := filepath.Abs("testdata/nvml.c")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(cc, "-shared", "-fPIC", "-o", so, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := os.Stat(so); err != nil {
		t.Fatal(err)
	}
	return so
}

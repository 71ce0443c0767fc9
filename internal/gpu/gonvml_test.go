//go:build linux && cgo

package gpu

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
)

// go-nvml's mock of a DGX A100, with what it leaves open filled in, is read through the adapter that a real card is.
func TestMockDGX(t *testing.T) {
	server := dgxa100.New()
	for i, d := range server.Devices {
		fillIn(&d.(*dgxa100.Device).Device, uint32(i))
	}
	m, err := open(goNVML{server})
	if err != nil {
		t.Fatal(err)
	}
	cards, err := m.Cards()
	if err != nil || len(cards) != 8 {
		t.Fatal(len(cards), err)
	}
	for i, c := range cards {
		uuid := c.UUID
		c.UUID = ""
		want := Card{Index: i, Name: "Mock NVIDIA A100-SXM4-40GB", Memory: 42949672960, Used: 0, Busy: 40 + i, Celsius: 50 + i, Watts: 250.5, PowerLimit: 400,
			Clock: 1410, MemoryClock: 1215, Throttle: ThrottleHardware, Processes: []Process{{100 + i, 5 << 30, 33, true}, {9, -1, 0, false}}}
		if uuid == "" || !reflect.DeepEqual(c, want) {
			t.Errorf("%+v\nwant %+v", c, want)
		}
	}
	lost := &server.Devices[2].(*dgxa100.Device).Device
	lost.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 0, nvml.ERROR_GPU_IS_LOST }
	if _, err := m.Card(2); err == nil {
		t.Error("a lost card is read")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}

func fillIn(d *mock.Device, i uint32) {
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
		return nvml.Utilization{Gpu: 40 + i, Memory: 3}, nvml.SUCCESS
	}
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return 50 + i, nvml.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return 250500, nvml.SUCCESS }
	d.GetEnforcedPowerLimitFunc = func() (uint32, nvml.Return) { return 400000, nvml.SUCCESS }
	d.GetClockInfoFunc = func(k nvml.ClockType) (uint32, nvml.Return) {
		return map[nvml.ClockType]uint32{nvml.CLOCK_SM: 1410, nvml.CLOCK_MEM: 1215}[k], nvml.SUCCESS
	}
	d.GetCurrentClocksThrottleReasonsFunc = func() (uint64, nvml.Return) { return 0x80 | 0x1, nvml.SUCCESS }
	d.GetComputeRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 100 + i, UsedGpuMemory: 5 << 30}}, nvml.SUCCESS
	}
	d.GetGraphicsRunningProcessesFunc = func() ([]nvml.ProcessInfo, nvml.Return) {
		return []nvml.ProcessInfo{{Pid: 9, UsedGpuMemory: unavailable}}, nvml.SUCCESS
	}
	d.GetProcessUtilizationFunc = func(uint64) ([]nvml.ProcessUtilizationSample, nvml.Return) {
		return []nvml.ProcessUtilizationSample{{Pid: 100 + i, TimeStamp: 9, SmUtil: 33}, {Pid: 100 + i, TimeStamp: 5, SmUtil: 99}}, nvml.SUCCESS
	}
}

// What the C interface is called with has the layout that NVIDIA's header gives it, and NVML's numbers are those.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"process", processInfo{}, nvml.ProcessInfo{}},
		{"sample", processSample{}, nvml.ProcessUtilizationSample{}},
	} {
		a, b := reflect.TypeOf(c.got), reflect.TypeOf(c.want)
		if a.Size() != b.Size() || a.NumField() != b.NumField() {
			t.Fatalf("%s: %d bytes in %d fields, want %d in %d", c.name, a.Size(), a.NumField(), b.Size(), b.NumField())
		}
		for i := range a.NumField() {
			if a.Field(i).Offset != b.Field(i).Offset || a.Field(i).Type.Size() != b.Field(i).Type.Size() {
				t.Errorf("%s: field %s differs from %s", c.name, a.Field(i).Name, b.Field(i).Name)
			}
		}
	}
	if got, want := [3]uintptr{unsafe.Sizeof(nvml.Memory{}), unsafe.Offsetof(nvml.Memory{}.Used), unsafe.Sizeof(nvml.Utilization{})}, [3]uintptr{24, 16, 8}; got != want {
		t.Errorf("memory and utilisation are laid out as %v, not as %v", got, want)
	}
	for c, want := range map[code]nvml.Return{
		notSupported: nvml.ERROR_NOT_SUPPORTED, insufficientSize: nvml.ERROR_INSUFFICIENT_SIZE, driverNotLoaded: nvml.ERROR_DRIVER_NOT_LOADED,
		libraryNotFound: nvml.ERROR_LIBRARY_NOT_FOUND, functionNotFound: nvml.ERROR_FUNCTION_NOT_FOUND, isLost: nvml.ERROR_GPU_IS_LOST,
		resetRequired: nvml.ERROR_RESET_REQUIRED, versionMismatch: nvml.ERROR_LIB_RM_VERSION_MISMATCH,
	} {
		if nvml.Return(c) != want {
			t.Errorf("code %d, NVML has %d", c, want)
		}
	}
}

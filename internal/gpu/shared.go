package gpu

import (
	"bytes"
	"fmt"
	"unsafe"

	"drystone/internal/dynlib"
)

// loadShared opens NVML by the first of these names.
func loadShared(names ...string) (library, error) {
	lib, err := dynlib.Open(names...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDriver, err)
	}
	return shared{lib}, nil
}

// shared is NVML by its C interface. What a driver lacks, as old ones do, is functionNotFound.
type shared struct{ lib dynlib.Library }

func (s shared) Init() code     { return s.plain("nvmlInit_v2") }
func (s shared) Shutdown() code { return s.plain("nvmlShutdown") }

func (s shared) plain(name string) code {
	fn := s.lib.Find(name)
	if fn == 0 {
		return functionNotFound
	}
	return code(dynlib.Call(fn))
}

func (s shared) Driver() (string, code) { return s.text("nvmlSystemGetDriverVersion", nil) }

// text calls a function that fills a buffer, of a device if that is not nil.
func (s shared) text(name string, d *sharedDevice) (string, code) {
	fn := s.lib.Find(name)
	if fn == 0 {
		return "", functionNotFound
	}
	buf := make([]byte, 96) // NVML's longest is a name of 96
	var c uintptr
	if d == nil {
		c = dynlib.Call(fn, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	} else {
		c = dynlib.Call(fn, d.handle, uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
	}
	if i := bytes.IndexByte(buf, 0); i >= 0 {
		buf = buf[:i]
	}
	return string(buf), code(c)
}

func (s shared) Count() (int, code) {
	fn := s.lib.Find("nvmlDeviceGetCount_v2")
	if fn == 0 {
		return 0, functionNotFound
	}
	var n uint32
	c := dynlib.Call(fn, uintptr(unsafe.Pointer(&n)))
	return int(n), code(c)
}

func (s shared) Device(index int) (device, code) {
	fn := s.lib.Find("nvmlDeviceGetHandleByIndex_v2")
	if fn == 0 {
		return nil, functionNotFound
	}
	d := &sharedDevice{lib: s}
	c := dynlib.Call(fn, uintptr(uint32(index)), uintptr(unsafe.Pointer(&d.handle)))
	return d, code(c)
}

type sharedDevice struct {
	lib    shared
	handle uintptr
}

func (d *sharedDevice) Name() (string, code) { return d.lib.text("nvmlDeviceGetName", d) }
func (d *sharedDevice) UUID() (string, code) { return d.lib.text("nvmlDeviceGetUUID", d) }

// call calls a function of the device that fills out.
func (d *sharedDevice) call(name string, out unsafe.Pointer) code {
	fn := d.lib.lib.Find(name)
	if fn == 0 {
		return functionNotFound
	}
	return code(dynlib.Call(fn, d.handle, uintptr(out)))
}

// of calls a function of the device and a number that fills a number.
func (d *sharedDevice) of(name string, which uint32) (uint32, code) {
	fn := d.lib.lib.Find(name)
	if fn == 0 {
		return 0, functionNotFound
	}
	var v uint32
	c := dynlib.Call(fn, d.handle, uintptr(which), uintptr(unsafe.Pointer(&v)))
	return v, code(c)
}

func (d *sharedDevice) Memory() (total, used uint64, c code) {
	var v struct{ total, free, used uint64 } // nvmlMemory_t
	c = d.call("nvmlDeviceGetMemoryInfo", unsafe.Pointer(&v))
	return v.total, v.used, c
}

func (d *sharedDevice) Busy() (uint32, code) {
	var v struct{ gpu, memory uint32 } // nvmlUtilization_t
	c := d.call("nvmlDeviceGetUtilizationRates", unsafe.Pointer(&v))
	return v.gpu, c
}

func (d *sharedDevice) number(name string) (uint32, code) {
	var v uint32
	c := d.call(name, unsafe.Pointer(&v))
	return v, c
}

func (d *sharedDevice) Celsius() (uint32, code) { return d.of("nvmlDeviceGetTemperature", 0) }
func (d *sharedDevice) Power() (uint32, code)   { return d.number("nvmlDeviceGetPowerUsage") }
func (d *sharedDevice) PowerLimit() (uint32, code) {
	return d.number("nvmlDeviceGetEnforcedPowerLimit")
}

func (d *sharedDevice) Clock(kind uint32) (uint32, code) {
	return d.of("nvmlDeviceGetClockInfo", kind)
}

func (d *sharedDevice) Throttle() (uint64, code) {
	var v uint64
	c := d.call("nvmlDeviceGetCurrentClocksThrottleReasons", unsafe.Pointer(&v))
	return v, c
}

// processInfo is nvmlProcessInfo_t of the functions with _v3, and processSample nvmlProcessUtilizationSample_t.
type (
	processInfo struct {
		pid    uint32
		memory uint64
		_, _   uint32
	}
	processSample struct {
		pid                      uint32
		at                       uint64
		sm, memory, enc, decoder uint32
	}
)

func (d *sharedDevice) Processes() (all []Process, c code) {
	for i, name := range []string{"nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v3"} {
		list, c := fill[processInfo](d, name)
		if c != success && (i == 0 || c != notSupported) {
			return nil, c
		}
		for _, p := range list {
			all = append(all, Process{PID: int(p.pid), Memory: known(p.memory), Compute: i == 0})
		}
	}
	return all, success
}

// fill calls a function that fills a list and says how long it should have been if it is too short.
func fill[T any](d *sharedDevice, name string) ([]T, code) {
	fn := d.lib.lib.Find(name)
	if fn == 0 {
		return nil, functionNotFound
	}
	for n := uint32(64); ; {
		list := make([]T, n)
		c := code(dynlib.Call(fn, d.handle, uintptr(unsafe.Pointer(&n)), uintptr(unsafe.Pointer(&list[0]))))
		switch {
		case c == insufficientSize && n <= maxProcesses/2:
			n = max(2*n, 2*uint32(len(list)))
		case c != success:
			return nil, c
		default:
			return list[:min(int(n), len(list))], success
		}
	}
}

// maxProcesses bounds what a driver is believed.
const maxProcesses = 1 << 16

func (d *sharedDevice) Shares() (map[int]int, code) {
	fn := d.lib.lib.Find("nvmlDeviceGetProcessUtilization")
	if fn == 0 {
		return nil, functionNotFound
	}
	var n uint32 // asked with no list, it says how many there are
	c := code(dynlib.Call(fn, d.handle, 0, uintptr(unsafe.Pointer(&n)), 0))
	if c != insufficientSize || n == 0 || n > maxProcesses {
		return nil, c
	}
	list := make([]processSample, n)
	if c = code(dynlib.Call(fn, d.handle, uintptr(unsafe.Pointer(&list[0])), uintptr(unsafe.Pointer(&n)), 0)); c != success {
		return nil, c
	}
	var s shares
	for _, x := range list[:min(int(n), len(list))] {
		s.add(x.pid, x.at, x.sm)
	}
	return s.busy, success
}

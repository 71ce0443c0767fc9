package cuda

import (
	"fmt"
	"runtime"
	"strings"
	"unsafe"

	"drystone/internal/dynlib"
)

// Attributes of a device, and other numbers of the driver's interface.
const (
	attrProcessors    = 16
	attrMajor         = 75
	attrManagedMemory = 83

	attachGlobal = 1
	minVersion   = 8000 // CUDA 8.0, which has PTX 5.0
	minMajor     = 6
)

// nvcuda is a card by the driver's C interface. A context belongs to a thread of the system, so each call makes it current first.
type nvcuda struct {
	fn      map[string]uintptr
	device  int32
	context uintptr
	module  uintptr
	stream  uintptr
	kernels map[string]uintptr
	about   info
}

// functions are those that are used, by the names under which the library has them.
var functions = []string{
	"cuInit", "cuDriverGetVersion", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetUuid", "cuDeviceGetAttribute",
	"cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease", "cuCtxSetCurrent", "cuModuleLoadData", "cuModuleGetFunction",
	"cuStreamCreate", "cuStreamSynchronize", "cuMemAllocManaged", "cuMemFree_v2", "cuMemGetInfo_v2", "cuMemsetD8Async",
	"cuMemcpyDtoDAsync_v2", "cuLaunchKernel",
}

// openDriver opens the card with a UUID as NVML writes it, or the first if that is empty, and compiles the kernels for it.
func openDriver(names []string, uuid, ptx string) (*nvcuda, error) {
	lib, err := dynlib.Open(names...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoDriver, err)
	}
	d := &nvcuda{fn: map[string]uintptr{}, kernels: map[string]uintptr{}}
	for _, name := range functions {
		if d.fn[name] = lib.Find(name); d.fn[name] == 0 {
			return nil, fmt.Errorf("%w: it lacks %s", ErrOldDriver, name)
		}
	}
	if err := d.call("cuInit", 0).fail("start the driver"); err != nil {
		return nil, err
	}
	var version int32
	if err := result(dynlib.Call(d.fn["cuDriverGetVersion"], uintptr(unsafe.Pointer(&version)))).fail("ask for the driver's version"); err != nil {
		return nil, err
	}
	if version < minVersion {
		return nil, fmt.Errorf("%w: it is for CUDA %d.%d, CUDA %d.%d or newer is needed", ErrOldDriver, version/1000, version%1000/10, minVersion/1000, minVersion%1000/10)
	}
	if err := d.find(uuid); err != nil {
		return nil, err
	}
	if err := d.start(ptx); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// call calls a function of numbers alone.
func (d *nvcuda) call(name string, args ...uintptr) result {
	return result(dynlib.Call(d.fn[name], args...))
}

func (d *nvcuda) attribute(which uintptr) int32 {
	var v int32
	if result(dynlib.Call(d.fn["cuDeviceGetAttribute"], uintptr(unsafe.Pointer(&v)), which, uintptr(d.device))) != ok {
		return 0
	}
	return v
}

// find chooses the device and looks whether it can do.
func (d *nvcuda) find(uuid string) error {
	var n int32
	if err := result(dynlib.Call(d.fn["cuDeviceGetCount"], uintptr(unsafe.Pointer(&n)))).fail("count cards"); err != nil {
		return err
	}
	for i := range n {
		var id [16]byte
		if err := result(dynlib.Call(d.fn["cuDeviceGet"], uintptr(unsafe.Pointer(&d.device)), uintptr(i))).fail("open a card"); err != nil {
			return err
		}
		if err := result(dynlib.Call(d.fn["cuDeviceGetUuid"], uintptr(unsafe.Pointer(&id)), uintptr(d.device))).fail("ask a card for its UUID"); err != nil {
			return err
		}
		if text := fmt.Sprintf("GPU-%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]); uuid == "" || strings.EqualFold(text, uuid) {
			return d.suits()
		}
	}
	if uuid == "" {
		return fmt.Errorf("%w: the driver knows of none", ErrNoCard)
	}
	return fmt.Errorf("%w: %s is not among the %d that can compute (see CUDA_VISIBLE_DEVICES)", ErrNoCard, uuid, n)
}

func (d *nvcuda) suits() error {
	name := make([]byte, 256)
	if err := result(dynlib.Call(d.fn["cuDeviceGetName"], uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), uintptr(d.device))).fail("ask a card for its name"); err != nil {
		return err
	}
	text, _, _ := strings.Cut(string(name), "\x00")
	d.about = info{Name: text, Processors: int(max(d.attribute(attrProcessors), 1))}
	if major := d.attribute(attrMajor); major < minMajor || d.attribute(attrManagedMemory) == 0 {
		return fmt.Errorf("%w: %s has %d", ErrUnsuitable, text, major)
	}
	return nil
}

// start makes a context, compiles the kernels and looks them up.
func (d *nvcuda) start(ptx string) error {
	var context uintptr
	if err := result(dynlib.Call(d.fn["cuDevicePrimaryCtxRetain"], uintptr(unsafe.Pointer(&context)), uintptr(d.device))).fail("start the card"); err != nil {
		return err
	}
	d.context = context
	defer d.enter()()
	image := append([]byte(ptx), 0)
	if err := result(dynlib.Call(d.fn["cuModuleLoadData"], uintptr(unsafe.Pointer(&d.module)), uintptr(unsafe.Pointer(&image[0])))).fail("compile the kernels"); err != nil {
		return err
	}
	for _, kernel := range kernelNames {
		name := append([]byte(kernel), 0)
		var fn uintptr
		if err := result(dynlib.Call(d.fn["cuModuleGetFunction"], uintptr(unsafe.Pointer(&fn)), d.module, uintptr(unsafe.Pointer(&name[0])))).fail("look up " + kernel); err != nil {
			return err
		}
		d.kernels[kernel] = fn
	}
	const nonBlocking = 1
	return result(dynlib.Call(d.fn["cuStreamCreate"], uintptr(unsafe.Pointer(&d.stream)), nonBlocking)).fail("start the card")
}

// enter makes the context current in this thread of the system, and returns what leaves the thread to others.
func (d *nvcuda) enter() func() {
	runtime.LockOSThread()
	d.call("cuCtxSetCurrent", d.context)
	return runtime.UnlockOSThread
}

func (d *nvcuda) Info() info { return d.about }

func (d *nvcuda) Free() (int64, result) {
	defer d.enter()()
	var free, total uint64
	r := result(dynlib.Call(d.fn["cuMemGetInfo_v2"], uintptr(unsafe.Pointer(&free)), uintptr(unsafe.Pointer(&total))))
	return int64(free), r
}

func (d *nvcuda) Alloc(bytes int) (uintptr, result) {
	defer d.enter()()
	var at uintptr
	if r := result(dynlib.Call(d.fn["cuMemAllocManaged"], uintptr(unsafe.Pointer(&at)), uintptr(bytes), attachGlobal)); r != ok {
		return 0, r
	}
	if r := d.call("cuMemsetD8Async", at, 0, uintptr(bytes), d.stream); r != ok {
		return 0, r
	}
	return at, d.call("cuStreamSynchronize", d.stream)
}

func (d *nvcuda) Release(at uintptr) result {
	defer d.enter()()
	return d.call("cuMemFree_v2", at)
}

func (d *nvcuda) Copy(to, from uintptr, bytes int) result {
	defer d.enter()()
	return d.call("cuMemcpyDtoDAsync_v2", to, from, uintptr(bytes), d.stream)
}

// Launch hands over the addresses of the arguments, which the driver copies before it returns.
func (d *nvcuda) Launch(kernel string, grid [3]uint32, threads uint32, args []uint64) result {
	defer d.enter()()
	list := make([]unsafe.Pointer, len(args))
	for i := range args {
		list[i] = unsafe.Pointer(&args[i])
	}
	return result(dynlib.Call(d.fn["cuLaunchKernel"], d.kernels[kernel], uintptr(grid[0]), uintptr(grid[1]), uintptr(grid[2]),
		uintptr(threads), 1, 1, 0, d.stream, uintptr(unsafe.Pointer(&list[0])), 0))
}

func (d *nvcuda) Wait() result {
	defer d.enter()()
	return d.call("cuStreamSynchronize", d.stream)
}

func (d *nvcuda) Close() result { return d.call("cuDevicePrimaryCtxRelease", uintptr(d.device)) }
